"""HTTP: aiohttp sends what tritonclient encodes, also for callers without an event loop.

tritonclient's own clients don't serve here. The synchronous one makes an event loop of gevent's in
each thread that uses it, whose file descriptors stay open when the thread ends; the asynchronous
one has no timeout for making a connection, so a host that swallows packets would take a request's
whole time instead of leaving it to the next server.
"""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from tritonclient.http import InferenceServerClient, InferInput

from tritonpose.errors import DeadlineExceededError, ServerError, ServerUnavailableError
from tritonpose.transport.connection import CONNECT_SECONDS
from tritonpose.transport.failures import NO_TRITON, error_from_status, make_error
from tritonpose.transport.messages import MODEL_NAME, InferRequest, PoseResponse, trace_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from tritonpose.transport.connection import Connection

T = TypeVar("T")

_HEADER_LENGTH = "Inference-Header-Content-Length"
_CHUNK_BYTES = 2**20


class AsyncHttpServer:
    """A connection to one ``host:port`` by HTTP, for one event loop; made by the first request."""

    def __init__(self, address: str, connection: Connection) -> None:
        self._connection = connection
        self._url = connection.url_of(address)
        self._session: aiohttp.ClientSession | None = None

    async def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Send a request once, within `timeout` seconds; raise what `Transport.infer` raises."""
        body, header_length = InferenceServerClient.generate_request_body(
            request.infer_inputs(InferInput),
            request_id=request.request_id,
            parameters=request.parameters(),
        )
        try:
            async with self._session_of_loop().post(
                f"{self._url}/v2/models/{MODEL_NAME}/infer",
                data=_chunks(body),
                headers={
                    "content-length": str(len(body)),
                    _HEADER_LENGTH: str(header_length),
                    **trace_headers(),
                },
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
        """Ask whether it serves the pipeline now, within `timeout` seconds."""
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
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _session_of_loop(self) -> aiohttp.ClientSession:
        """Return the session, made at first use, as it belongs to the running event loop."""
        if self._session is None:
            tls = self._connection.tls
            self._session = aiohttp.ClientSession(
                # Compressed responses would cost both sides more time than they save.
                headers={"accept-encoding": "identity", **self._connection.headers},
                connector=aiohttp.TCPConnector(limit=0, ssl=tls.context() if tls else True),
            )
        return self._session


class HttpServer:
    """A connection to one server over HTTP: an `AsyncHttpServer` in a thread of its own.

    Safe to use from several threads.
    """

    def __init__(self, address: str, connection: Connection) -> None:
        self._server = AsyncHttpServer(address, connection)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: Callable[[], object]

    def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """See `AsyncHttpServer.infer`."""
        return self._run(self._server.infer(request, timeout))

    def is_ready(self, timeout: float) -> bool:
        """See `AsyncHttpServer.is_ready`."""
        return self._run(self._server.is_ready(timeout))

    def close(self) -> None:
        """Close the connections and end the thread."""
        with self._lock:
            if self._thread is not None:
                self._stop()
                self._thread.join()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            # Not before the first request, so that a process may fork until then.
            if self._thread is None:
                self._start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _start(self) -> None:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(
            # It knows nothing of this object, which may so be collected without being closed.
            target=lambda server: asyncio.run(_serve(server, started)),
            args=(self._server,),
            name="tritonpose-http",
            daemon=True,
        )
        self._thread.start()
        self._loop, stop = started.result()
        self._stop = weakref.finalize(self, self._loop.call_soon_threadsafe, stop.set)


async def _serve(
    server: AsyncHttpServer, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]
) -> None:
    """Keep the event loop running until the event that `started` gets is set."""
    stop = asyncio.Event()
    started.set_result((asyncio.get_running_loop(), stop))
    try:
        await stop.wait()
    finally:
        await server.close()


async def _chunks(body: bytes) -> AsyncIterator[memoryview]:
    """Split a body into chunks; aiohttp itself would make them small, and copy each of them."""
    for start in range(0, len(body), _CHUNK_BYTES):
        yield memoryview(body)[start : start + _CHUNK_BYTES]


def _reason(content: bytes) -> str:
    """Read what an answer with an error says: Triton's JSON, or a proxy's page."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, LookupError, TypeError):
        return content.decode(errors="replace")[:500]


def _cause(error: aiohttp.ClientError) -> str:
    """Say what went wrong with a connection."""
    if isinstance(error, aiohttp.ClientConnectorError):
        # aiohttp's own message speaks of TLS, whether it is used or not.
        return str(error.os_error)
    return str(error) or type(error).__name__
