"""A bound on the threads that compute at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CoreGate:
    """Lets only so many threads compute; those that wait for a model don't count. Thread-safe.

    Many images decoded at the same time on few cores push each other out of the caches, and all
    of them come late to the models. One after the other, each is sooner done.
    """

    def __init__(self, cores: int) -> None:
        """Make a gate.

        Args:
            cores: Threads that may compute at the same time.
        """
        self._free = threading.BoundedSemaphore(cores)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Wait until a core is free, and take it for as long as the context lasts."""
        with self._free:
            yield

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Give one's core to others for as long as the context lasts; called inside."""
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()
