"""How long to wait before something that has ended is started again."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0
"""The pause after a quick second exit, and the bound on the next ones, each twice as long."""

STEADY_SECONDS = 2.0
"""Processes that ran longer restart at once."""


class Backoff:
    """Computes restart delays; ``clock`` gives the time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delay: float | None = None

    def next_delay(self, became_ready: float | None) -> float | None:
        """Compute the seconds to wait after an exit; ``became_ready`` is a time on the clock.

        None if no run was ever ready: another attempt would fail, too.
        """
        if became_ready is None and self._delay is None:
            return None
        if became_ready is not None and self._clock() - became_ready > STEADY_SECONDS:
            self._delay = 0.0
        else:
            self._delay = min(max(2 * (self._delay or 0.0), FIRST_SECONDS), LONGEST_SECONDS)
        return self._delay
