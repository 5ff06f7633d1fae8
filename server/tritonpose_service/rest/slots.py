"""A bound on the requests under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from tritonpose_service.contract import ServiceError


class BusyError(ServiceError):
    """An error 503: a request is refused because others take all there is of something."""

    def __init__(self, why: str) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}; try again later")


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

    def require_room(self) -> None:
        """Makes sure that not all are taken.

        Raises:
            BusyError: They are.
        """
        if self._taken >= self._limit:
            raise BusyError(f"{self._limit} requests are already under way")

    @contextmanager
    def take(self) -> Iterator[None]:
        """Holds a slot.

        Raises:
            BusyError: All are taken.
        """
        self.require_room()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
