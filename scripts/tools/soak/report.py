"""What the parts of the test found: figures, outcomes of requests, and violations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np
from tabulate import tabulate

_SHOWN_VIOLATIONS = 20


class Outcome(str, Enum):
    """How a request ended, where it ended as it may."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The service was full; the client may try again."""
    EXPIRED = "expired"
    """The deadline passed before the service got to it; the client may try again."""
    REJECTED = "rejected"
    """The bad request was rejected as such."""
    CANCELLED = "cancelled"


class Report:
    """Figures of one part, its requests by endpoint, kind and outcome, and the first violations."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures: dict[str, str] = {}
        self.violations: list[str] = []
        self.violation_count = 0
        self._seconds: dict[tuple[str, Outcome, str], list[float]] = defaultdict(list)

    def add(self, endpoint: str, kind: str, outcome: Outcome, seconds: float) -> None:
        """Count a request that ended as it may."""
        self._seconds[kind, outcome, endpoint].append(seconds)

    def violate(self, message: str) -> None:
        """Note what must not happen."""
        self.violation_count += 1
        if len(self.violations) < _SHOWN_VIOLATIONS:
            self.violations.append(message)

    def compare_processes(
        self,
        before: Mapping[str, int],
        after: Mapping[str, int],
        may_restart: Collection[str] = (),
    ) -> None:
        """Note processes that were restarted though they should not."""
        for role, pid in before.items():
            if after.get(role) != pid and role not in may_restart:
                self.violate(f"process {role} has died and was started again")

    def count(self, outcome: Outcome) -> int:
        """Count the requests with an outcome."""
        return sum(len(times) for (_, each, _), times in self._seconds.items() if each == outcome)

    def all_figures(self) -> dict[str, str]:
        """Add counts by kind and outcome, and percentiles of times, to the part's figures."""
        counts: dict[tuple[str, Outcome], Counter[str]] = defaultdict(Counter)
        times: dict[tuple[Outcome, str], list[float]] = defaultdict(list)
        for (kind, outcome, endpoint), seconds in sorted(self._seconds.items()):
            counts[kind, outcome][endpoint] += len(seconds)
            times[outcome, endpoint] += seconds
        figures = dict(self.figures)
        for (kind, outcome), by_endpoint in counts.items():
            listed = ", ".join(f"{endpoint} {count}" for endpoint, count in by_endpoint.items())
            figures[f"{kind}, {outcome.value}"] = f"{by_endpoint.total()} ({listed})"
        for (outcome, endpoint), seconds in sorted(times.items()):
            if outcome != Outcome.CANCELLED:
                percentiles = np.percentile(seconds, (50, 95, 99)) * 1000
                name = f"{outcome.value} by {endpoint} after, ms (p50 p95 p99)"
                figures[name] = " ".join(f"{each:.0f}" for each in percentiles)
        figures["violations"] = str(self.violation_count)
        return figures


def as_text(reports: Sequence[Report]) -> str:
    """Format all figures and violations."""
    blocks = []
    for report in reports:
        rows = [(f"  {name}", figure) for name, figure in report.all_figures().items()]
        table = tabulate(rows, tablefmt="plain", disable_numparse=True, preserve_whitespace=True)
        verdict = "VIOLATED" if report.violations else "passed"
        violations = [f"  violation: {violation}" for violation in report.violations]
        blocks.append("\n".join([f"{report.name}: {verdict}", table, *violations]))
    return "\n".join(blocks)


def as_json(reports: Sequence[Report]) -> dict[str, Any]:
    """Collect all figures and violations for programs."""
    return {
        report.name: {"figures": report.all_figures(), "violations": report.violations}
        for report in reports
    }
