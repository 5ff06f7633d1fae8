"""How long to wait before something that has ended is started again."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0
"""The pause after a quick second fall, and the bound on those that follow, each twice as long."""

STEADY_SECONDS = 2.0
"""Whoever has worked for longer is started again without a pause."""


class Backoff:
    """Counts falls.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delay: float | None = None

    def after(self, became_ready: float | None) -> float | None:
        """Note a fall.

        Args:
            became_ready: When it was ready, on the clock; None if it never was this time.

        Returns:
            Seconds to wait, None if it was never ready at all: another attempt would fail, too.
        """
        if became_ready is None and self._delay is None:
            return None
        if became_ready is not None and self._clock() - became_ready > STEADY_SECONDS:
            self._delay = 0.0
        else:
            self._delay = min(max(2 * (self._delay or 0.0), FIRST_SECONDS), LONGEST_SECONDS)
        return self._delay
