"""A bound on the requests under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from tritonpose_service.contract import ServiceError


class BusyError(ServiceError):
    """A request that is refused because too many are under way."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{limit} requests are already under way; try again later",
        )


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
            BusyError: All are taken.
        """
        if self._taken >= self._limit:
            raise BusyError(self._limit)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
