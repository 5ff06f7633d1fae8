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
        self._closed = False

    @property
    def taken(self) -> int:
        """Requests under way."""
        return self._taken

    @property
    def closed(self) -> bool:
        """Whether no more are given out."""
        return self._closed

    def close(self) -> None:
        """Give out no more; those that are taken stay so."""
        self._closed = True

    def require_room(self) -> None:
        """Makes sure that a slot can be taken.

        Raises:
            BusyError: All are taken, or no more are given out.
        """
        if self._closed:
            raise BusyError("the service is shutting down")
        if self._taken >= self._limit:
            raise BusyError(f"{self._limit} requests are already under way")

    @contextmanager
    def take(self) -> Iterator[None]:
        """Holds a slot.

        Raises:
            BusyError: All are taken, or no more are given out.
        """
        self.require_room()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
