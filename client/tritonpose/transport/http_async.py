"""HTTP for asyncio: aiohttp sends what tritonclient encodes.

tritonclient's own asynchronous client has no timeout for making a connection, so a host that
swallows packets would take a request's whole time instead of leaving it to the next server.
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from typing import TYPE_CHECKING

import aiohttp
from tritonclient.http import InferenceServerClient, InferInput

from tritonpose.errors import DeadlineExceededError, ServerError, ServerUnavailableError
from tritonpose.transport.connection import CONNECT_SECONDS
from tritonpose.transport.failures import NO_TRITON, error_from_status, make_error
from tritonpose.transport.messages import MODEL_NAME, InferRequest, PoseResponse
from tritonpose.transport.trace_context import trace_headers

if TYPE_CHECKING:
    from tritonpose.transport.connection import Connection

_HEADER_LENGTH = "Inference-Header-Content-Length"


class AsyncHttpServer:
    """A `tritonpose.transport.retrying.AsyncServer` over HTTP.

    Args:
        address: ``host:port``.
        connection: How to talk to it.
    """

    def __init__(self, address: str, connection: Connection) -> None:
        self._connection = connection
        self._url = connection.url_of(address)
        self._session: aiohttp.ClientSession | None = None

    async def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Sends a request once; see `AsyncServer.infer`."""
        body, header_length = InferenceServerClient.generate_request_body(
            request.infer_inputs(InferInput),
            request_id=request.request_id,
            parameters=request.parameters(),
        )
        try:
            async with self._session_of_loop().post(
                f"{self._url}/v2/models/{MODEL_NAME}/infer",
                data=io.BytesIO(body),
                headers={_HEADER_LENGTH: str(header_length), **trace_headers()},
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS),
                # Following one would send the headers, with their key, to another host.
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except aiohttp.ClientError as error:
            # Without its cause: some of aiohttp's errors hold the request's headers.
            raise make_error(ServerUnavailableError, self._url, _cause(error)) from None
        except asyncio.TimeoutError as error:
            raise make_error(DeadlineExceededError, self._url, "the time is over") from error
        if response.status != 200:
            raise error_from_status(str(response.status), self._url, _reason(content))
        length = response.headers.get(_HEADER_LENGTH)
        try:
            result = InferenceServerClient.parse_response_body(content, header_length=length)
        except ValueError as error:
            raise make_error(ServerError, self._url, NO_TRITON) from error
        return PoseResponse.from_outputs(result.as_numpy)

    async def is_ready(self, timeout: float) -> bool:
        """Whether it serves the pipeline now; see `AsyncServer.is_ready`."""
        try:
            async with self._session_of_loop().get(
                f"{self._url}/v2/models/{MODEL_NAME}/ready",
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, asyncio.TimeoutError):
            return False

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    def _session_of_loop(self) -> aiohttp.ClientSession:
        """The session, made at first use, for it belongs to the running event loop."""
        if self._session is None:
            tls = self._connection.tls
            self._session = aiohttp.ClientSession(
                headers=self._connection.headers,
                connector=aiohttp.TCPConnector(
                    limit=0, ssl=tls.context(ssl.create_default_context) if tls else True
                ),
            )
        return self._session


def _reason(content: bytes) -> str:
    """What an answer that is an error says: Triton's JSON, or a proxy's page."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, LookupError, TypeError):
        return content.decode(errors="replace")[:500]


def _cause(error: aiohttp.ClientError) -> str:
    """What went wrong with a connection."""
    if isinstance(error, aiohttp.ClientConnectorError):
        # aiohttp's own message speaks of TLS, whether it is used or not.
        return str(error.os_error)
    return str(error) or type(error).__name__
