"""HTTP: one connection per thread, as tritonclient's HTTP client isn't thread-safe."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import gevent
import tritonclient.http as triton
from geventhttpclient.response import HTTPParseError
from tritonclient.utils import InferenceServerException

from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.transport.failures import failure
from tritonpose.transport.messages import MODEL_NAME, PoseRequest, PoseResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Mapping[str | None, type[TritonPoseError]] = {
    "400": InvalidRequestError,
    "404": ModelNotFoundError,
    "503": ServerUnavailableError,
    "504": DeadlineExceededError,
}


class HttpTransport:
    """A `tritonpose.transport.Transport` over HTTP.

    Args:
        address: ``host:port``.
        timeout: Seconds that each request may take.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self._address = address
        self._url = f"http://{address}"
        self._timeout = timeout
        self._local = threading.local()
        self._lock = threading.Lock()
        # Weak, so that the client of a thread that has ended is closed with it.
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()

    def infer(self, request: PoseRequest) -> PoseResponse:
        """Sends one request; see `Transport.infer`."""
        inputs = []
        for name, datatype, array in request.tensors():
            tensor = triton.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        client = self._client_of_thread()
        try:
            # The client's own network timeout starts anew with every packet.
            with gevent.Timeout(self._timeout, TimeoutError(f"{self._timeout} s are over")):
                result = client.infer(MODEL_NAME, inputs, parameters=request.parameters())
        except InferenceServerException as error:
            kind = _KINDS.get(error.status(), ServerError)
            raise failure(kind, self._url, error.message()) from error
        except TimeoutError as error:
            raise failure(DeadlineExceededError, self._url, str(error)) from error
        except (OSError, HTTPParseError) as error:
            raise failure(ServerUnavailableError, self._url, str(error)) from error
        return PoseResponse.from_outputs(result.as_numpy)

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._lock:
            for client in self._clients:
                client.close()

    def _client_of_thread(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            client = triton.InferenceServerClient(
                self._address, connection_timeout=self._timeout, network_timeout=self._timeout
            )
            self._local.client = client
            with self._lock:
                self._clients.add(client)
        return client
