"""Abandoning work that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from starlette.requests import Request

T = TypeVar("T")


async def unless_hung_up(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Does the work, or cancels it when the client closes its connection.

    Args:
        request: The client's request, its body read.
        work: What to do for it.

    Raises:
        ClientDisconnect: The client is gone.
    """
    working = asyncio.ensure_future(work)
    hanging_up = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({working, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        hanging_up.cancel()


async def _hang_up(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
