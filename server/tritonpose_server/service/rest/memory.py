"""A bound on the memory that requests' bodies take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonpose_server.service.rest.slots import BusyError


class BodyMemory:
    """Counts the bytes of the bodies that are here; used within one event loop.

    Clients that send slowly hold little of it, so that they can't keep others out.
    """

    def __init__(self, limit: int) -> None:
        """Allow so many bytes at the same time."""
        self._limit = limit
        self._held = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Lets a request have a body as long as the context lasts."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.held

    def take(self, count: int) -> None:
        """Notes that so many bytes come in addition.

        Raises:
            BusyError: There is no room for them.
        """
        if self._held + count > self._limit:
            raise BusyError("the bodies of other requests take all the memory set aside")
        self._held += count


class Share:
    """What one request has of it."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.held = 0

    def take(self, count: int) -> None:
        """Takes so many bytes more; raises BusyError if there is no room."""
        self._memory.take(count)
        self.held += count
