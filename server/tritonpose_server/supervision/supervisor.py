"""Keeps Triton and the REST service running until a signal comes."""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType
from typing import Protocol

from tritonpose_server.supervision.rest_process import RestProcess

LOGGER = logging.getLogger("tritonpose.server")

_POLL_SECONDS = 0.25


class Triton(Protocol):
    """See `tritonpose_server.embedded.server.EmbeddedServer`."""

    def poll(self) -> int | None:
        """Return the exit status of the process that owns it, None while that runs."""

    def restart(self) -> None:
        """Restart it after the death of that process."""


class StopSignals:
    """Records SIGINT and SIGTERM while active; for the main thread."""

    def __init__(self) -> None:
        self._count = 0

    @property
    def received(self) -> bool:
        """Whether a signal has come."""
        return self._count > 0

    @property
    def repeated(self) -> bool:
        """Whether another one has come after it."""
        return self._count > 1

    def __enter__(self) -> StopSignals:
        self._handlers = {
            number: signal.signal(number, self._receive)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1


def supervise(triton: Triton, rest: RestProcess, signals: StopSignals) -> int | None:
    """Restart what dies, until a signal comes; EmbeddedServerError if one can't be started.

    Triton's guardian restarts it, so only the guardian's death matters here. Returns Triton's exit
    status if that was ended from outside, None after a signal.
    """
    while not signals.received:
        status = triton.poll()
        if status is not None and status >= 0:
            return status
        if status is not None:
            name = signal.Signals(-status).name
            LOGGER.warning("supervisor: Triton's guardian has died by %s: restarting Triton", name)
            triton.restart()
        rest.ensure_running()
        time.sleep(_POLL_SECONDS)
    return None
