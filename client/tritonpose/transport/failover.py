"""Send each request to one of several servers, and again where none could take it.

gRPC's own retries don't serve here: it gives up those of messages that exceed its buffer of
256 KiB, which images do, and it knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from tritonpose.errors import ServerUnavailableError, TritonPoseError
from tritonpose.forks import renew_in_children

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tritonpose.transport.messages import InferRequest, PoseResponse

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

COOL_DOWN_SECONDS = 2.0
"""For how long a server that was unavailable is asked last."""


class Server(Protocol):
    """Answers requests: a server behind a connection, or the engine in this process."""

    @property
    def url(self) -> str:
        """Say where it is."""
        ...

    def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Answer once, within `timeout` seconds; raise what `Transport.infer` raises."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class AsyncServer(Protocol):
    """The twin of `Server` for one event loop."""

    @property
    def url(self) -> str:
        """See `Server.url`."""
        ...

    async def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """See `Server.infer`."""
        ...

    async def is_ready(self, timeout: float) -> bool:
        """Ask whether it serves the pipeline now, within `timeout` seconds."""
        ...

    async def close(self) -> None:
        """See `Server.close`."""
        ...


AnyServer = TypeVar("AnyServer", bound=Server | AsyncServer)


class _Failover(Generic[AnyServer]):
    """Keep what both kinds of transports share; closes its servers.

    ``timeout`` is in seconds, per request, over all attempts; ``retries`` may follow the first.
    """

    def __init__(self, servers: Sequence[AnyServer], timeout: float, retries: int) -> None:
        self._servers = servers
        self._timeout = timeout
        self._retries = retries
        self._closed = False
        self.renew()
        renew_in_children(self)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._servers, self._timeout, self._retries)

    @property
    def url(self) -> str:
        """Where requests go, as `create_pipeline` takes it."""
        return ",".join(server.url for server in self._servers)

    def renew(self) -> None:
        """Forget which servers were available, in a forked process as well."""
        self._turns = RoundRobin(len(self._servers))

    @contextmanager
    def _attempts(self, request: InferRequest) -> Iterator[Attempts]:
        """Start the attempts of a request, which is named in all errors."""
        try:
            yield Attempts(self._turns, self._retries, self._timeout)
        except TritonPoseError as error:
            error.request_id = request.request_id
            raise

    def _server(self, attempts: Attempts) -> AnyServer:
        """Return the server to ask now; raise RuntimeError if the transport is closed."""
        if self._closed:
            raise RuntimeError("this connection is closed; make another one")
        return self._servers[attempts.server]

    def _close_once(self) -> Sequence[AnyServer]:
        """Mark the transport as closed; return the servers if it wasn't."""
        already, self._closed = self._closed, True
        return () if already else self._servers


class Transport(_Failover["Server"]):
    """A connection to one or several servers. Safe to use from several threads."""

    # Waits between attempts; tests give their own.
    sleep: Callable[[float], object] = staticmethod(time.sleep)

    def infer(self, request: InferRequest) -> PoseResponse:
        """Send a request and wait for its response.

        Raises:
            InvalidRequestError: The server refused the request.
            AccessDeniedError: The server refused the credentials.
            ModelNotFoundError: The server lacks the pipeline or a model named in the request.
            ServerUnavailableError: No connection, or no server has room now, after all retries.
            DeadlineExceededError: No response within the timeout.
            ServerError: Anything else.
            RuntimeError: The transport is closed.
        """
        with self._attempts(request) as attempts:
            while True:
                server = self._server(attempts)
                try:
                    response = server.infer(request, attempts.seconds_left())
                except ServerUnavailableError as error:
                    self.sleep(attempts.failed(error))
                else:
                    attempts.succeeded()
                    return response

    def close(self) -> None:
        """Close the connections; requests after it fail. May be called again."""
        for server in self._close_once():
            server.close()


class AsyncTransport(_Failover["AsyncServer"]):
    """A connection to one or several servers, for one event loop."""

    # As in `Transport`.
    sleep: Callable[[float], Awaitable[object]] = staticmethod(asyncio.sleep)

    async def infer(self, request: InferRequest) -> PoseResponse:
        """Send a request and wait for its response; raise what `Transport.infer` raises.

        Cancelling it cancels the request.
        """
        with self._attempts(request) as attempts:
            while True:
                server = self._server(attempts)
                try:
                    response = await server.infer(request, attempts.seconds_left())
                except ServerUnavailableError as error:
                    await self.sleep(attempts.failed(error))
                else:
                    attempts.succeeded()
                    return response

    async def is_ready(self, timeout: float) -> bool:
        """Ask all servers at once whether one serves the pipeline now, within `timeout` seconds."""
        return any(await asyncio.gather(*(server.is_ready(timeout) for server in self._servers)))

    async def close(self) -> None:
        """See `Transport.close`."""
        for server in self._close_once():
            await server.close()


class RoundRobin:
    """Choose among servers in turn, leaving out servers that were unavailable a moment ago.

    After its cool-down, one request at a time finds out whether a server is back. Safe to use from
    several threads. The servers are named 0 to `count` - 1; the clock gives seconds.
    """

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn = 0
        # Until when each server cools down; 0 where it is available.
        self._cool_until = [0.0] * count
        self._lock = threading.Lock()

    def order(self) -> list[int]:
        """List all servers in the order to ask them: cooling ones last, as a last resort."""
        with self._lock:
            now = self._clock()
            ready = [server for server, until in enumerate(self._cool_until) if until <= now]
            cooling = [server for server, until in enumerate(self._cool_until) if until > now]
            if ready:
                start = self._turn % len(ready)
                self._turn += 1
                ready = ready[start:] + ready[:start]
                if self._cool_until[ready[0]]:
                    # This request asks on behalf of the others.
                    self._cool_until[ready[0]] = now + COOL_DOWN_SECONDS
            return ready + sorted(cooling, key=self._cool_until.__getitem__)

    def failed(self, server: int) -> None:
        """Note that a server was unavailable."""
        with self._lock:
            self._cool_until[server] = self._clock() + COOL_DOWN_SECONDS

    def succeeded(self, server: int) -> None:
        """Note that a server is available."""
        with self._lock:
            self._cool_until[server] = 0.0


class Attempts:
    """The attempts of one request, in ``timeout`` seconds altogether.

    An attempt asks every server in turn, until one takes the request; then comes a pause, and the
    next attempt, up to ``retries`` after the first. Only unavailable servers are asked again: any
    other error would be the same the next time.
    """

    def __init__(
        self,
        turns: RoundRobin,
        retries: int,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._turns = turns
        self._retries = retries
        self._clock = clock
        self._draw = draw
        self._deadline = clock() + timeout
        self._order = turns.order()
        self._asked = 0
        self._retry = 0

    @property
    def server(self) -> int:
        """The server to ask now."""
        return self._order[self._asked]

    def seconds_left(self) -> float:
        """Return how long that may take; always positive."""
        return max(self._deadline - self._clock(), 0.001)

    def succeeded(self) -> None:
        """Note that the server answered."""
        self._turns.succeeded(self.server)

    def failed(self, error: ServerUnavailableError) -> float:
        """Note that the server was unavailable, and go on to the next one.

        Returns seconds to wait before that; ServerUnavailableError if no attempt or time is left.
        """
        self._turns.failed(self.server)
        self._asked += 1
        pause = 0.0
        if self._asked == len(self._order):
            if self._retry == self._retries:
                raise self._last(error)
            pause = pause_before(self._retry, self._draw)
            self._retry += 1
            self._order = self._turns.order()
            self._asked = 0
        if self._clock() + pause >= self._deadline:
            raise self._last(error)
        return pause

    def _last(self, error: ServerUnavailableError) -> ServerUnavailableError:
        """Make the error to raise in the end from the last one, which names only one server."""
        count = len(self._order)
        if count == 1:
            return error
        last = ServerUnavailableError(f"none of {count} servers was available; the last: {error}")
        last.detail, last.code = error.detail, error.code
        return last


def pause_before(retry: int, draw: Callable[[float, float], float] = random.uniform) -> float:
    """Choose the seconds to wait before a retry (0 is the first): exponential backoff, full jitter.

    Full jitter keeps clients that were refused together from coming back together (Marc Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    # The exponent's bound keeps the power a float, however many retries there are.
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(retry, 16))
    return draw(0.0, longest)
