"""HTTP: aiohttp sends the requests, also for callers without an event loop.

tritonclient's own clients don't serve here. The synchronous one makes an event loop of gevent's in
each thread that uses it, whose file descriptors stay open when the thread ends; the asynchronous
one has no timeout for making a connection, so a host that swallows packets would take a request's
whole time instead of leaving it to the next server.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from tritonpose.errors import DeadlineExceededError, ServerUnavailableError, TritonPoseError
from tritonpose.forks import leave_behind, renew_in_children
from tritonpose.transport.connection import CONNECT_SECONDS
from tritonpose.transport.failures import (
    MAX_ANSWER_BYTES,
    error_from_status,
    make_error,
    reading_answer,
)
from tritonpose.transport.kserve import decode_answer, encode_request
from tritonpose.transport.messages import MODEL_NAME, InferRequest, PoseResponse, trace_headers
from tritonpose.transport.wrong_ports import explain_port
from tritonpose.triton_http import CLIENT_HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from tritonpose.transport.connection import Connection

T = TypeVar("T")

_HEADER_LENGTH = "Inference-Header-Content-Length"
_CHUNK_BYTES = 2**20
# Statuses of web servers of other kinds.
_OF_OTHERS = (301, 302, 303, 307, 308, 404, 405, 501)


class AsyncHttpServer:
    """A connection to one ``host:port`` by HTTP, for one event loop; made by the first request."""

    def __init__(self, address: str, connection: Connection) -> None:
        self._address = address
        self._connection = connection
        self.url = connection.url_of(address)
        self._session: aiohttp.ClientSession | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._address, self._connection)

    async def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Send a request once, within `timeout` seconds; raise what `Transport.infer` raises."""
        parts, header_length = encode_request(request)
        try:
            async with self._session_of_loop().post(
                f"{self.url}/v2/models/{MODEL_NAME}/infer",
                data=_chunks(parts),
                headers={
                    "content-length": str(sum(map(len, parts))),
                    _HEADER_LENGTH: str(header_length),
                    **trace_headers(),
                },
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS),
                # Following one would send the headers, with their key, to another host.
                allow_redirects=False,
            ) as response:
                content = await _read(response)
        except aiohttp.ClientError as error:
            # Without its cause: some of aiohttp's errors hold the request's headers.
            raise await self._explained(
                make_error(ServerUnavailableError, self.url, _cause(error))
            ) from None
        except asyncio.TimeoutError as error:
            raise make_error(DeadlineExceededError, self.url, "the time is over") from error
        if response.status != 200:
            failure = error_from_status(
                str(response.status), self.url, self._connection.without_secrets(_reason(content))
            )
            raise await self._explained(failure) if response.status in _OF_OTHERS else failure
        with reading_answer(self.url):
            if content is None:
                raise ValueError(f"it has more than {MAX_ANSWER_BYTES >> 20} MiB")
            outputs = decode_answer(content, response.headers.get(_HEADER_LENGTH))
            return PoseResponse.from_outputs(outputs.get)

    async def is_ready(self, timeout: float) -> bool:
        """Ask whether it serves the pipeline now, within `timeout` seconds."""
        try:
            async with self._session_of_loop().get(
                f"{self.url}/v2/models/{MODEL_NAME}/ready",
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

    async def _explained(self, error: TritonPoseError) -> TritonPoseError:
        return await asyncio.to_thread(explain_port, error, self.url)

    def _session_of_loop(self) -> aiohttp.ClientSession:
        """Return the session, made at first use, as it belongs to the running event loop."""
        if self._session is None:
            tls = self._connection.tls
            self._session = aiohttp.ClientSession(
                # Compressed responses would cost both sides more time than they save.
                headers={
                    "accept-encoding": "identity",
                    **CLIENT_HEADERS,
                    **self._connection.headers,
                },
                connector=aiohttp.TCPConnector(limit=0, ssl=tls.context() if tls else True),
                # What is sent compressed all the same must not grow beyond all bounds.
                auto_decompress=False,
            )
        return self._session


class HttpServer:
    """A connection to one server over HTTP: an `AsyncHttpServer` in a thread of its own.

    Safe to use from several threads.
    """

    def __init__(self, address: str, connection: Connection) -> None:
        self._settings = (address, connection)
        self._server = AsyncHttpServer(address, connection)
        self.url = self._server.url
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: weakref.finalize[..., HttpServer]
        renew_in_children(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._settings

    def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """See `AsyncHttpServer.infer`."""
        return self._run(self._server.infer(request, timeout))

    def close(self) -> None:
        """Close the connections and end the thread."""
        with self._lock:
            if self._thread is not None:
                self._stop()
                self._thread.join()

    def renew(self) -> None:
        """Begin with a thread and connections of its own, in a forked process."""
        if self._thread is not None:
            self._stop.detach()
            leave_behind((self._server, self._loop, self._thread))
        self._server = AsyncHttpServer(*self._settings)
        self._lock = threading.Lock()
        self._thread = None

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


async def _chunks(parts: Sequence[bytes | memoryview]) -> AsyncIterator[memoryview]:
    """Split a body into chunks; aiohttp itself would make them small, and copy each of them."""
    for part in parts:
        for start in range(0, len(part), _CHUNK_BYTES):
            yield memoryview(part)[start : start + _CHUNK_BYTES]


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Read a body; None where it is larger than any answer of a tritonpose server."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            response.close()
            return None
    return bytes(content)


def _reason(content: bytes | None) -> str:
    """Read what an answer with an error says: Triton's JSON, or a proxy's page."""
    try:
        return str(json.loads(content or b"")["error"])
    except (ValueError, LookupError, TypeError, RecursionError):
        text = (content or b"").decode(errors="replace")
        page = text.lstrip()[:1] == "<"
        return re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>", " ", text) if page else text


def _cause(error: aiohttp.ClientError) -> str:
    """Say what went wrong with a connection."""
    if isinstance(error, aiohttp.ClientConnectorError):
        # aiohttp's own message speaks of TLS, whether it is used or not.
        return str(error.os_error)
    return str(error) or type(error).__name__
