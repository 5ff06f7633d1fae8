"""The results as values: series of rounds, cases, measurements, ratios, overhead, outcome."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tools.benchmark.agreement import Verdict
from tools.benchmark.contestants import Role
from tools.benchmark.machine import Disturbance


@dataclass(frozen=True)
class Series:
    """One figure of one contestant.

    Attributes:
        value: The figure over all rounds.
        rounds: The same figure of each round by itself.
    """

    value: float
    rounds: tuple[float, ...]

    @property
    def low(self) -> float:
        """The least of all rounds."""
        return min(self.rounds)

    @property
    def high(self) -> float:
        """The greatest of all rounds."""
        return max(self.rounds)

    @classmethod
    def of_samples(
        cls, rounds: Sequence[Sequence[float]], figure: Callable[[Sequence[float]], float]
    ) -> Series:
        """Compute a figure of the samples of all rounds together, and of each round's."""
        pooled = [sample for samples in rounds for sample in samples]
        return cls(figure(pooled), tuple(figure(samples) for samples in rounds))

    @classmethod
    def of_rounds(cls, rounds: Sequence[float]) -> Series:
        """Make a series of a figure that each round gives once; its value is their median."""
        return cls(statistics.median(rounds), tuple(rounds))


@dataclass(frozen=True)
class Case:
    """One column of a measurement.

    Attributes:
        label: Heading of the column.
        series: The contestants' figures by their keys.
    """

    label: str
    series: Mapping[str, Series]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One table of figures.

    Attributes:
        name: Name in the JSON report.
        title: Title of the table.
        unit: Unit of its figures.
        better: Which figures are better.
        cases: Its columns.
        headline: Label of the case that the chart shows.
        summary: What the chart calls that case.
        pairs: Keys of ours and of what it is compared with; the chart shows the pairs of the
            first of ours.
    """

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    cases: tuple[Case, ...]
    headline: str
    summary: str
    pairs: tuple[tuple[str, str], ...]

    def contestants(self) -> list[str]:
        """List the keys of the contestants, in the order of tables."""
        return list(dict.fromkeys(key for case in self.cases for key in case.series))

    def ratio(self, case: Case, ours: str, other: str) -> Series | None:
        """Compute how many times as good ours is as another; None where one has no figure.

        Each round has its own ratio, so that what slows a whole round down cancels out.
        """
        if ours not in case.series or other not in case.series:
            return None
        better, worse = case.series[ours].rounds, case.series[other].rounds
        if self.better == "lower":
            better, worse = worse, better
        return Series.of_rounds([a / b for a, b in zip(better, worse, strict=True)])


def percentile(share: float) -> Callable[[Sequence[float]], float]:
    """Make a function that computes a percentile (0 to 100), linearly interpolated."""
    return lambda samples: float(np.percentile(samples, share))


@dataclass(frozen=True)
class Overhead:
    """What the server costs compared with the bare engine; None where it was not measured.

    Attributes:
        request_ms: One request over gRPC minus the bare engine's time for the same image.
        throughput_share: Share of the bare engine's best images per second that gRPC reaches.
        person_ms: What each further person of an image adds over gRPC.
        engine_person_ms: What each further person adds in the bare engine.
        crop_ms: The keypoint model's own time per crop, batched.
    """

    request_ms: float | None = None
    throughput_share: float | None = None
    person_ms: float | None = None
    engine_person_ms: float | None = None
    crop_ms: float | None = None

    @property
    def persons_per_crop(self) -> float | None:
        """How many crops' time a further person takes."""
        if self.person_ms is None or self.crop_ms is None:
            return None
        return self.person_ms / self.crop_ms


def request_overhead(served: npt.NDArray[np.float64], engine: npt.NDArray[np.float64]) -> float:
    """Compute what a server adds per image: the mean of the differences of images' medians.

    Args:
        served: Milliseconds ``[rounds, passes, images]``.
        engine: The same of the bare engine, for the same images.
    """
    difference = np.median(served, axis=(0, 1)) - np.median(engine, axis=(0, 1))
    return float(difference.mean())


def cost_per_person(people: Measurement, key: str) -> float | None:
    """Compute what each further person adds, from the cases with fewest and most people.

    Args:
        people: Its cases are labeled by numbers of people; the one with nobody does not count,
            because it saves the keypoint model altogether.
        key: The contestant.

    Returns:
        In the measurement's unit; None where there are no two such cases.
    """
    values = {
        int(case.label): case.series[key].value for case in people.cases if int(case.label) > 0
    }
    most, least = max(values, default=0), min(values, default=0)
    if most == least:
        return None
    return (values[most] - values[least]) / (most - least)


@dataclass(frozen=True)
class Entry:
    """A contestant in reports.

    Attributes:
        label: Name in tables.
        role: See `Contestant`.
    """

    label: str
    role: Role


@dataclass(frozen=True)
class Outcome:
    """All results of one run of the benchmark.

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
