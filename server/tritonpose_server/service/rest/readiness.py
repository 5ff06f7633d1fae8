"""Ask whether the Triton server behind the service can process images, and say why it can't."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from tritonpose.transport.connection import Connection

if TYPE_CHECKING:
    from tritonpose.transport import AsyncTransport

LOGGER = logging.getLogger("tritonpose.service")

_SECONDS = 2.0

_OUT_OF_REACH = "Triton is out of reach: no connection to it can be made"
_NOT_SERVING = "Triton is reached, but does not serve the pipeline, or not yet"


class Readiness:
    """Asks Triton, for as many clients as want to know at a time once, and logs what changes."""

    def __init__(self, transport: AsyncTransport, triton_url: str) -> None:
        """Prepare to ask; the URL is for the log, and to find out whether anything listens."""
        self._transport = transport
        self._url = triton_url
        self._asking: asyncio.Task[str | None] | None = None
        self._problem: str | None = None

    async def problem(self) -> str | None:
        """Return why no image can be processed now; None if images can."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> str | None:
        problem = None
        if not await self._transport.is_ready(_SECONDS):
            problem = _NOT_SERVING if await self._can_connect() else _OUT_OF_REACH
        if problem is not None and problem != self._problem:
            LOGGER.warning("%s (%s); requests get 503 until it is ready", problem, self._url)
        elif problem is None and self._problem is not None:
            LOGGER.info("Triton is ready again (%s)", self._url)
        self._problem = problem
        return problem

    async def _can_connect(self) -> bool:
        for address in Connection.from_options(self._url).addresses:
            host, _, port = address.rpartition(":")
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                opening = asyncio.open_connection(host.strip("[]"), int(port))
                _, writer = await asyncio.wait_for(opening, _SECONDS)
                writer.close()
                return True
        return False
