"""A bound on the requests under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonpose_service.contract.failures import unavailable


class Slots:
    """Counts the requests under way; used within one event loop."""

    def __init__(self, limit: int) -> None:
        """Allow so many at the same time."""
        self._limit = limit
        self._taken = 0

    @property
    def taken(self) -> int:
        """Requests under way."""
        return self._taken

    @contextmanager
    def take(self) -> Iterator[None]:
        """Holds a slot.

        Raises:
            ServiceError: 503, when all are taken.
        """
        if self._taken >= self._limit:
            raise unavailable(f"{self._limit} requests are already under way; try again later")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
