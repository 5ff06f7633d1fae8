"""Whose turn it is among several servers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

COOL_DOWN_SECONDS = 2.0
"""For how long a server that was unavailable is asked last."""


class Rotation:
    """Round robin over servers, leaving out those that were unavailable a moment ago.

    After its cool-down, one request at a time finds out whether a server is back. Safe to use
    from several threads.

    Args:
        count: The number of servers, named 0 to `count` - 1.
        clock: Gives the time in seconds.
    """

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn = 0
        # Until when each server cools down; 0 for those that are well.
        self._cool_until = [0.0] * count
        self._lock = threading.Lock()

    def order(self) -> list[int]:
        """All servers in the order to ask them: cooling ones last, as none else may be left."""
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
        """Notes that a server was unavailable."""
        with self._lock:
            self._cool_until[server] = self._clock() + COOL_DOWN_SECONDS

    def succeeded(self, server: int) -> None:
        """Notes that a server is available."""
        with self._lock:
            self._cool_until[server] = 0.0
