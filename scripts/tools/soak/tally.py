"""What became of many requests."""

from __future__ import annotations

from collections import Counter, defaultdict
from enum import Enum

import numpy as np

_SHOWN_VIOLATIONS = 20


class Outcome(str, Enum):
    """How a request ended, all of them as they may."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """Nobody had room for it: to be sent again."""
    EXPIRED = "expired"
    """Its time was over before its turn came: to be sent again."""
    REJECTED = "rejected"
    """It is wrong, and was told so."""
    CANCELLED = "cancelled"


class Tally:
    """Counts requests by front, kind and outcome, and keeps what must not be.

    Attributes:
        violations: What happened and must not; the first ones, of ``violation_count``.
        violation_count: How many there were.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.violations: list[str] = []
        self.violation_count = 0
        self._counts: Counter[tuple[str, str, Outcome]] = Counter()
        self._seconds: dict[tuple[Outcome, str], list[float]] = defaultdict(list)

    def add(self, front: str, kind: str, outcome: Outcome, seconds: float) -> None:
        """Count a request that ended as it may."""
        self._counts[front, kind, outcome] += 1
        self._seconds[outcome, front].append(seconds)

    def violate(self, message: str) -> None:
        """Note what must not be."""
        self.violation_count += 1
        if len(self.violations) < _SHOWN_VIOLATIONS:
            self.violations.append(message)

    def count(self, outcome: Outcome, front: str | None = None) -> int:
        """How many requests ended so, of all fronts or of one."""
        return sum(
            count
            for (where, _, what), count in self._counts.items()
            if what == outcome and front in (None, where)
        )

    def figures(self) -> dict[str, str]:
        """Counts by kind and outcome, and percentiles of the times that outcomes took."""
        figures: dict[str, str] = {}
        for kind, outcome in sorted({(kind, outcome) for _, kind, outcome in self._counts}):
            by_front = {
                front: count
                for (front, other, what), count in sorted(self._counts.items())
                if (other, what) == (kind, outcome)
            }
            figures[f"{kind}, {outcome.value}"] = (
                f"{sum(by_front.values())} ("
                + ", ".join(f"{front} {count}" for front, count in by_front.items())
                + ")"
            )
        for (outcome, front), seconds in sorted(self._seconds.items()):
            if outcome != Outcome.CANCELLED:
                p50, p95, p99 = np.percentile(seconds, (50, 95, 99)) * 1000
                figures[f"{outcome.value} by {front} after, ms (p50 p95 p99)"] = (
                    f"{p50:.0f} {p95:.0f} {p99:.0f}"
                )
        figures["violations"] = str(self.violation_count)
        return figures
