"""What was measured, as values: series of rounds, cases, measurements, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


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
        """A figure of the samples of all rounds together, and of each round's."""
        pooled = [sample for samples in rounds for sample in samples]
        return cls(figure(pooled), tuple(figure(samples) for samples in rounds))

    @classmethod
    def of_rounds(cls, rounds: Sequence[float]) -> Series:
        """A figure that each round gives once; over all rounds it is their median."""
        return cls(statistics.median(rounds), tuple(rounds))


@dataclass(frozen=True)
class Case:
    """One column of a measurement.

    Attributes:
        label: What the column is called.
        series: The contestants' figures by their keys.
    """

    label: str
    series: Mapping[str, Series]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One table of figures.

    Attributes:
        name: Names it in the JSON report.
        title: What tables call it.
        unit: Of its figures.
        better: Which figures are better.
        cases: Its columns.
        headline: Label of the case that a summary shows.
        summary: What a summary calls that case.
        pairs: Keys of ours and of what it is compared with; a summary shows those that begin
            like the first.
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
        """Keys of those who take part, in the order of tables."""
        return list(dict.fromkeys(key for case in self.cases for key in case.series))

    def ratio(self, case: Case, ours: str, rival: str) -> Series | None:
        """How many times as good one contestant is as another; None where one has no figure.

        Each round has its own ratio, so that what slows a whole round down cancels out.
        """
        if ours not in case.series or rival not in case.series:
            return None
        one, other = case.series[ours], case.series[rival]
        if self.better == "lower":
            one, other = other, one
        return Series.of_rounds([a / b for a, b in zip(one.rounds, other.rounds, strict=True)])


def percentile(share: float) -> Callable[[Sequence[float]], float]:
    """The figure below which this share (0 to 100) of samples lies, linearly interpolated."""
    return lambda samples: float(np.percentile(samples, share))
