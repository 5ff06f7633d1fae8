"""Transports that spread requests over servers and try again: the loops around the attempts."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from tritonpose.errors import ServerUnavailableError, TritonPoseError
from tritonpose.transport.retry import Attempts
from tritonpose.transport.rotation import Rotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tritonpose.transport.messages import InferRequest, PoseResponse


class Server(Protocol):
    """A connection to one server. Safe to use from several threads."""

    def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Sends a request once; `timeout` is in seconds. Errors as of `Transport.infer`."""

    def close(self) -> None:
        """Closes the connection."""


class AsyncServer(Protocol):
    """A connection to one server, for one event loop; made with the first request."""

    async def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Sends a request once; `timeout` is in seconds. Errors as of `Transport.infer`."""

    async def is_ready(self, timeout: float) -> bool:
        """Whether it says, within so many seconds, that it serves the pipeline now."""

    async def close(self) -> None:
        """Closes the connection."""


class RetryingTransport:
    """A `tritonpose.transport.Transport` over one or several servers.

    Args:
        servers: The servers; closed with it.
        timeout: Seconds that each request may take, over all attempts.
        retries: How many attempts may follow the first.
    """

    def __init__(self, servers: Sequence[Server], timeout: float, retries: int) -> None:
        self._servers = servers
        self._timeout = timeout
        self._retries = retries
        self._rotation = Rotation(len(servers))
        self._closed = False

    def infer(self, request: InferRequest) -> PoseResponse:
        """Sends one request; see `Transport.infer`."""
        attempts = Attempts(self._rotation, self._retries, self._timeout)
        with _naming(request):
            while True:
                _check_open(self._closed)
                try:
                    server = self._servers[attempts.server]
                    response = server.infer(request, attempts.seconds_left())
                except ServerUnavailableError as error:
                    time.sleep(attempts.failed(error))
                else:
                    attempts.succeeded()
                    return response

    def close(self) -> None:
        """Closes the connections; may be called again."""
        if not self._closed:
            self._closed = True
            for server in self._servers:
                server.close()


class AsyncRetryingTransport:
    """A `tritonpose.transport.AsyncTransport` over one or several servers.

    Args:
        servers: The servers; closed with it.
        timeout: Seconds that each request may take, over all attempts.
        retries: How many attempts may follow the first.
    """

    def __init__(self, servers: Sequence[AsyncServer], timeout: float, retries: int) -> None:
        self._servers = servers
        self._timeout = timeout
        self._retries = retries
        self._rotation = Rotation(len(servers))
        self._closed = False

    async def infer(self, request: InferRequest) -> PoseResponse:
        """Sends one request; see `AsyncTransport.infer`."""
        attempts = Attempts(self._rotation, self._retries, self._timeout)
        with _naming(request):
            while True:
                _check_open(self._closed)
                try:
                    server = self._servers[attempts.server]
                    response = await server.infer(request, attempts.seconds_left())
                except ServerUnavailableError as error:
                    await asyncio.sleep(attempts.failed(error))
                else:
                    attempts.succeeded()
                    return response

    async def is_ready(self, timeout: float) -> bool:
        """Whether any server serves the pipeline; see `AsyncTransport.is_ready`."""
        return any(await asyncio.gather(*(server.is_ready(timeout) for server in self._servers)))

    async def close(self) -> None:
        """Closes the connections; may be called again."""
        if not self._closed:
            self._closed = True
            for server in self._servers:
                await server.close()


@contextmanager
def _naming(request: InferRequest) -> Iterator[None]:
    """Says in errors which request they are about."""
    try:
        yield
    except TritonPoseError as error:
        error.request_id = request.request_id
        raise


def _check_open(closed: bool) -> None:
    if closed:
        raise RuntimeError("this connection is closed; make another one")
