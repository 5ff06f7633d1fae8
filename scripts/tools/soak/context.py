"""What all parts of the test share: the plan, the service under test, and reports."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from tools.soak.endpoints import Endpoint
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture
from tools.soak.service import Service

_SHOWN_VIOLATIONS = 20


def _setting(default: Any, quick: Any, about: str) -> Any:
    """Declare an option of the command, its value with ``--quick``, and its help."""
    return field(default=default, metadata={"quick": quick, "help": about})


@dataclass(frozen=True)
class Plan:
    """How much is done; the command has an option for each of these settings."""

    decoded: int = _setting(100_000, 2_000, "fuzz: damaged images decoded without a server")
    sent: int = _setting(20_000, 500, "fuzz: damaged images sent to the service")
    minutes: float = _setting(30.0, 0.2, "load: its duration in minutes")
    overload: float = _setting(2.0, 2.0, "load: its rate, as a multiple of the service's capacity")
    requests: int = _setting(20_000, 500, "requests: number of requests")
    reloads: int = _setting(20, 1, "reloads: how often each model is reloaded")
    kills: int = _setting(20, 1, "kills: how often each process is killed")
    roles: str = _setting("", "", "kills: only some of triton,pipeline,hps,rest,names of models")
    seed: int = _setting(0, 0, "seed of everything random")


@dataclass(frozen=True)
class Context:
    """What all parts of the test use.

    Attributes:
        service: The service under test.
        endpoints: The ways into it.
        pictures: Images whose answers are known.
        refused: Files that must be refused.
        plan: How much is done.
        progress: Called with lines for the user.
    """

    service: Service
    endpoints: Sequence[Endpoint]
    pictures: Sequence[Picture]
    refused: Sequence[HostileFile]
    plan: Plan
    progress: Callable[[str], None]


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
    """The results of one part: figures, requests by endpoint, kind and outcome, and violations.

    Args:
        name: The part.

    Attributes:
        figures: What the part measured, besides its requests.
        violations: What happened and must not, the first ones; of ``violation_count``.
        violation_count: Number of all violations.
    """

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
