"""Everything that one run of the benchmark found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tools.benchmark.agreement import Verdict
from tools.benchmark.contestants.base import Role
from tools.benchmark.overhead import Overhead
from tools.benchmark.results import Measurement
from tools.benchmark.watch import Disturbance


@dataclass(frozen=True)
class Entry:
    """A contestant, as reports call it.

    Attributes:
        label: What tables call it.
        role: See `Contestant`.
    """

    label: str
    role: Role


@dataclass(frozen=True)
class Outcome:
    """Everything that one run of the benchmark found.

    Attributes:
        facts: What was measured on what: machine, versions, models, images, settings.
        entries: The contestants by their keys, in the order of tables.
        measurements: The figures.
        reference: Key of the contestant whose answers the others were compared with.
        verdicts: How answers agree.
        memory: By contestant's label, resident bytes of its processes.
        overhead: What the server adds.
        disturbance: Who else used the machine.
    """

    facts: Mapping[str, object]
    entries: Mapping[str, Entry]
    measurements: tuple[Measurement, ...]
    reference: str
    verdicts: tuple[Verdict, ...]
    memory: Mapping[str, int]
    overhead: Overhead
    disturbance: Disturbance

    @property
    def agrees(self) -> bool:
        """Whether all contestants gave the same answers."""
        return all(verdict.agrees for verdict in self.verdicts)
