"""A bound on the requests under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from tritonpose_server.service.contract import ServiceError
from tritonpose_server.service.rest.metrics import BUSY


class BusyError(ServiceError):
    """An error 503: a request is refused because others take all there is of something.

    Attributes:
        reason: By which it is counted.
    """

    def __init__(self, why: str, reason: str = BUSY) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}; try again later")
        self.reason = reason


class Slots:
    """Counts the requests that are here and those worked on; used within one event loop."""

    def __init__(self, limit: int) -> None:
        """Allow so many to be worked on at the same time."""
        self._limit = limit
        self._present = 0
        self._taken = 0
        self._closed = False

    @property
    def present(self) -> int:
        """Requests that are here, those that are still being received included."""
        return self._present

    @property
    def taken(self) -> int:
        """Requests worked on."""
        return self._taken

    @property
    def closed(self) -> bool:
        """Whether no more are admitted."""
        return self._closed

    def close(self) -> None:
        """Admit no more; those that are here go on."""
        self._closed = True

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Lets a request in, before anything of it is received in vain.

        Raises:
            BusyError: As many as possible are worked on, or no more are admitted.
        """
        if self._closed:
            raise BusyError("the service is shutting down")
        self._require_room()
        self._present += 1
        try:
            yield
        finally:
            self._present -= 1

    @contextmanager
    def take(self) -> Iterator[None]:
        """Has a request that was admitted worked on.

        Raises:
            BusyError: As many as possible are worked on.
        """
        self._require_room()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def _require_room(self) -> None:
        if self._taken >= self._limit:
            raise BusyError(f"{self._limit} requests are already under way")
