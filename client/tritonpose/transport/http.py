"""HTTP: one connection per thread, as tritonclient's HTTP client isn't thread-safe."""

from __future__ import annotations

import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
import gevent.ssl
import tritonclient.http as triton
from geventhttpclient.response import HTTPParseError
from tritonclient.utils import InferenceServerException

from tritonpose.errors import DeadlineExceededError, ServerError, ServerUnavailableError
from tritonpose.transport.connection import CONNECT_SECONDS
from tritonpose.transport.failures import NO_TRITON, error_from_status, make_error
from tritonpose.transport.messages import MODEL_NAME, InferRequest, PoseResponse
from tritonpose.transport.trace_context import trace_headers

if TYPE_CHECKING:
    from tritonpose.transport.connection import Connection
    from tritonpose.transport.tls import TlsFiles


class _OutOfTimeError(TimeoutError):
    """The request's time is over.

    An OSError, for at those geventhttpclient gives up the socket it was sending to.
    """


class HttpServer:
    """A `tritonpose.transport.retrying.Server` over HTTP.

    Args:
        address: ``host:port``.
        connection: How to talk to it.
    """

    def __init__(self, address: str, connection: Connection) -> None:
        self._address = address
        self._connection = connection
        self._url = connection.url_of(address)
        self._local = threading.local()
        self._lock = threading.Lock()
        # Weak, so that the client of a thread that has ended is closed with it.
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()

    def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Sends a request once; see `Server.infer`."""
        client = self._client_of_thread()
        try:
            # The client's own network timeout starts anew with every packet.
            with gevent.Timeout(timeout, _OutOfTimeError("the time is over")):
                result = client.infer(
                    MODEL_NAME,
                    request.infer_inputs(triton.InferInput),
                    request_id=request.request_id,
                    parameters=request.parameters(),
                    # A copy: tritonclient adds to it.
                    headers={**self._connection.headers, **trace_headers()},
                )
        except InferenceServerException as error:
            raise error_from_status(error.status(), self._url, error.message()) from error
        except _OutOfTimeError as error:
            raise make_error(DeadlineExceededError, self._url, str(error)) from error
        except (OSError, HTTPParseError) as error:
            raise make_error(ServerUnavailableError, self._url, str(error)) from error
        except ValueError as error:
            raise make_error(ServerError, self._url, NO_TRITON) from error
        return PoseResponse.from_outputs(result.as_numpy)

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._lock:
            for client in self._clients:
                client.close()

    def _client_of_thread(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            tls = self._connection.tls
            client = triton.InferenceServerClient(
                self._address,
                connection_timeout=min(CONNECT_SECONDS, self._connection.timeout),
                network_timeout=None,
                ssl=tls is not None,
                ssl_context_factory=tls and partial(_tls_context, tls),
            )
            self._local.client = client
            with self._lock:
                self._clients.add(client)
        return client


def _tls_context(tls: TlsFiles, cafile: str) -> Any:
    """Makes a context of gevent's kind; geventhttpclient offers a file of usual authorities."""
    return tls.context(gevent.ssl.create_default_context, default_ca_file=cafile)
