"""Keeps Triton and the REST service running until told to stop."""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType, TracebackType
from typing import Protocol

LOGGER = logging.getLogger("tritonpose.server")

_POLL_SECONDS = 0.1


class Triton(Protocol):
    """See `tritonpose_server.embedded.server.EmbeddedServer`."""

    def poll(self) -> int | None:
        """The exit status of the process that owns it."""

    def restart(self) -> None:
        """Start it again after the death of that process."""


class Rest(Protocol):
    """See `tritonpose_server.supervision.rest_process.RestProcess`."""

    def look_after(self) -> None:
        """Start it unless it runs well."""


class StopSignals:
    """Hears SIGINT and SIGTERM while its context lasts; in the main thread."""

    def __init__(self) -> None:
        self._count = 0

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._count > 0

    @property
    def insisted(self) -> bool:
        """Whether another one has come after it."""
        return self._count > 1

    def __enter__(self) -> StopSignals:
        self._handlers = {
            number: signal.signal(number, self._receive)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1


def supervise(triton: Triton, rest: Rest, signals: StopSignals) -> int | None:
    """Start again whatever dies.

    Args:
        triton: The server, which looks after itself as long as its owning process lives.
        rest: The service in front of it.
        signals: Tells when to stop.

    Returns:
        Triton's exit status if that was ended from outside, None once it is time to stop.

    Raises:
        EmbeddedServerError: One can't be started.
    """
    while not signals.asked:
        status = triton.poll()
        if status is not None and status >= 0:
            return status
        if status is not None:
            name = signal.Signals(-status).name
            LOGGER.warning(
                "supervisor: Triton's guardian has died by %s: starting Triton again", name
            )
            triton.restart()
        rest.look_after()
        time.sleep(_POLL_SECONDS)
    return None
