"""When, and at which server, a request is tried again.

gRPC's own retries don't serve here: it gives up those of messages that exceed its buffer of
256 KiB, which images do, and it knows nothing of HTTP. Everything here is free of input and
output, so that the synchronous and the asynchronous transport share it.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from tritonpose.errors import ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tritonpose.transport.rotation import Rotation

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


def pause_before(retry: int, draw: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait before a retry: exponential backoff with full jitter.

    Full jitter keeps clients that were refused together from coming back together (Marc
    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Args:
        retry: Its number, from 0.
        draw: Draws a number between two bounds.
    """
    # The exponent's bound keeps the power a float, however many retries there are.
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(retry, 16))
    return draw(0.0, longest)


class Attempts:
    """The attempts of one request.

    An attempt asks every server in turn, until one takes the request; then comes a pause, and
    the next attempt. Only unavailable servers are asked again: what another error says holds
    for the next try, too.

    Args:
        rotation: The servers.
        retries: How many attempts may follow the first.
        timeout: Seconds for all of them together.
        clock: Gives the time in seconds.
        draw: Draws a number between two bounds.
    """

    def __init__(
        self,
        rotation: Rotation,
        retries: int,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._rotation = rotation
        self._retries = retries
        self._clock = clock
        self._draw = draw
        self._deadline = clock() + timeout
        self._order = rotation.order()
        self._asked = 0
        self._retry = 0

    @property
    def server(self) -> int:
        """The server to ask now."""
        return self._order[self._asked]

    def seconds_left(self) -> float:
        """How long that may take; always positive."""
        return max(self._deadline - self._clock(), 0.001)

    def succeeded(self) -> None:
        """Notes that the server answered."""
        self._rotation.succeeded(self.server)

    def failed(self, error: ServerUnavailableError) -> float:
        """Notes that the server was unavailable and goes on to the next one.

        Returns:
            Seconds to wait before asking it.

        Raises:
            ServerUnavailableError: No attempt, or no time, is left.
        """
        self._rotation.failed(self.server)
        self._asked += 1
        pause = 0.0
        if self._asked == len(self._order):
            if self._retry == self._retries:
                raise self._last(error)
            pause = pause_before(self._retry, self._draw)
            self._retry += 1
            self._order = self._rotation.order()
            self._asked = 0
        if self._clock() + pause >= self._deadline:
            raise self._last(error)
        return pause

    def _last(self, error: ServerUnavailableError) -> ServerUnavailableError:
        """The error to raise in the end: the last one, which names only one of the servers."""
        count = len(self._order)
        if count == 1:
            return error
        return ServerUnavailableError(f"none of {count} servers was available; the last: {error}")
