"""Limits on requests: how many at a time, how much memory their bodies take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

from tritonpose_server.service.contract.failures import BusyError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from starlette.requests import Request

    from tritonpose_server.service.urls.fetching import TakeMemory

T = TypeVar("T")

# Images of batches look for a place this often; a fraction of the time that each takes.
_TURN_SECONDS = 0.005


class Slots:
    """Counts requests, or streams; used within one event loop.

    ``present`` requests are here, including those still being received; ``taken`` ones are worked
    on. Once ``closed``, new requests are refused; present ones go on.
    """

    def __init__(
        self, limit: int, what: str = "requests (max_in_flight) are already in flight"
    ) -> None:
        """Allow `limit` to be worked on at the same time; the error says ``what`` there are."""
        self._limit = limit
        self._what = what
        self.present = 0
        self.taken = 0
        self.closed = False

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Let a request in before its body comes; BusyError at the limit or when shutting down."""
        if self.closed:
            raise BusyError("the service is shutting down")
        self._require_room()
        self.present += 1
        try:
            yield
        finally:
            self.present -= 1

    @contextmanager
    def take(self) -> Iterator[None]:
        """Count an admitted request as worked on; BusyError if the limit is reached."""
        self._require_room()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @asynccontextmanager
    async def take_in_turn(self) -> AsyncIterator[None]:
        """Wait for a place among the requests worked on, and count one for an image of a batch."""
        while self.taken >= self._limit:
            await asyncio.sleep(_TURN_SECONDS)
        with self.take():
            yield

    def _require_room(self) -> None:
        if self.taken >= self._limit:
            raise BusyError(f"{self._limit} {self._what}")


class BodyMemory:
    """Counts the bytes of all bodies in memory; used within one event loop.

    Only bytes received count, so clients that send slowly can't keep others out.
    """

    def __init__(self, limit: int) -> None:
        """Allow `limit` bytes at the same time."""
        self._limit = limit
        self._held = 0

    @contextmanager
    def share(self) -> Iterator[TakeMemory]:
        """Count the body of one request, until the context ends.

        The function yielded is called with the number of further bytes, before they are kept, or
        of freed ones, below zero; it raises BusyError if there is no room for them now, and
        ServiceError 413 if there never is.
        """
        held = 0

        def take(count: int) -> None:
            nonlocal held
            if held + count > self._limit:
                raise ServiceError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body takes more than the {self._limit / 1e6:g} MB set aside for all "
                    "bodies (max_bodies_bytes): send less in a request",
                )
            if self._held + count > self._limit:
                raise BusyError(
                    "the bodies of other requests take all the memory set aside (max_bodies_bytes)"
                )
            self._held += count
            held += count

        try:
            yield take
        finally:
            self._held -= held


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work for a client whose request's body is read, or cancel it when the client disconnects.

    Then it raises ClientDisconnect.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
