"""What was measured of a setting, and when it is better than another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median

LEAST_GAIN = 0.02
"""Smaller gains are not worth a setting that differs from the default."""

_HOPELESS = 0.9


@dataclass(frozen=True)
class Sample:
    """Requests of one load.

    Attributes:
        rate: Images per second.
        median_ms: Median time of a request in milliseconds.
        p95_ms: Time within which 95 % were answered.
    """

    rate: float
    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Figures:
    """What was measured of a setting.

    Attributes:
        samples: By the number of images under way.
        memory_bytes: Of all of the server's processes.
    """

    samples: Mapping[int, Sample]
    memory_bytes: int


def score(samples: Mapping[int, Sample]) -> float:
    """The geometric mean of the images per second of all loads, so that each weighs the same."""
    return geometric_mean(sample.rate for sample in samples.values())


def middle(rounds: Sequence[Mapping[int, Sample]]) -> dict[int, Sample]:
    """The median of each figure over all rounds."""
    return {
        load: Sample(
            rate=median(samples[load].rate for samples in rounds),
            median_ms=median(samples[load].median_ms for samples in rounds),
            p95_ms=median(samples[load].p95_ms for samples in rounds),
        )
        for load in rounds[0]
    }


@dataclass(frozen=True)
class Comparison:
    """A candidate against the best setting so far, measured in turns.

    Attributes:
        ratios: For each round, the candidate's score divided by that of the best so far.
        figures: Of the candidate; None where it could not be measured.
        best_figures: Of the best so far in the same rounds; None where there was none.
        failure: Why the candidate could not be measured.
    """

    ratios: tuple[float, ...] = ()
    figures: Figures | None = None
    best_figures: Figures | None = None
    failure: str = ""

    @property
    def ratio(self) -> float:
        """The median ratio, 0 where nothing could be measured."""
        return median(self.ratios) if self.ratios else 0.0

    @property
    def spread(self) -> float:
        """How much the rounds differ."""
        return max(self.ratios) - min(self.ratios) if self.ratios else 0.0

    @property
    def wins(self) -> bool:
        """Whether the candidate is faster, by more than the rounds differ."""
        return len(self.ratios) > 1 and self.ratio - 1 > max(self.spread, LEAST_GAIN)

    @property
    def hopeless(self) -> bool:
        """Whether further rounds would be wasted."""
        return self.ratio < _HOPELESS
