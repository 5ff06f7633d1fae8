"""Seconds of one image at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.benchmark.contestants.base import Contestant, pairs
from tools.benchmark.plan import Plan
from tools.benchmark.results import Case, Measurement, Series, percentile
from tools.benchmark.rounds import in_rounds
from tools.benchmark.shots import Shot
from tools.benchmark.watch import Watch

_FIGURES = {"p50": percentile(50), "p95": percentile(95), "p99": percentile(99)}


@dataclass(frozen=True)
class Latencies:
    """Latencies of a set of images.

    Attributes:
        measurement: Their percentiles and mean in milliseconds.
        samples: By contestant's key, milliseconds ``[rounds, passes, images]``.
    """

    measurement: Measurement
    samples: Mapping[str, npt.NDArray[np.float64]]


def measure_latency(
    contestants: Sequence[Contestant], shots: Sequence[Shot], plan: Plan, watch: Watch
) -> Latencies:
    """Time a set of images, one at a time, in every round."""
    passes = max(math.ceil(plan.latency_samples / len(shots)), 1)
    results = in_rounds(
        contestants, plan.rounds, lambda each: each.time_each([*shots] * passes), watch
    )
    samples = {
        key: np.array([seconds for seconds, _ in rounds], np.float64).reshape(
            -1, passes, len(shots)
        )
        * 1000
        for key, rounds in results.items()
    }
    flat = {key: values.reshape(len(values), -1).tolist() for key, values in samples.items()}
    figures = {**_FIGURES, "mean": lambda values: float(np.mean(values))}
    cases = tuple(
        Case(label, {key: Series.of_samples(rounds, figure) for key, rounds in flat.items()})
        for label, figure in figures.items()
    )
    count = plan.rounds * passes * len(shots)
    title = f"Latency of one image at a time, ms ({len(shots)} images, {count} samples each)"
    measurement = Measurement(
        name="latency",
        title=title,
        unit="ms",
        better="lower",
        cases=cases,
        headline="p50",
        summary="Latency, median",
        pairs=pairs(contestants),
    )
    return Latencies(measurement, samples)


def measure_people(
    contestants: Sequence[Contestant], images: Mapping[str, Shot], plan: Plan, watch: Watch
) -> Measurement:
    """Time images by the number of people in them, which are their labels."""
    measured = _time_separately(contestants, images, plan, watch)
    most = measured[-1].label
    return Measurement(
        name="people",
        title="Latency by people in the image, ms",
        unit="ms",
        better="lower",
        cases=measured,
        headline=most,
        summary=f"Latency, {most} people in the image",
        pairs=pairs(contestants),
    )


def measure_sizes(
    contestants: Sequence[Contestant], images: Mapping[str, Shot], plan: Plan, watch: Watch
) -> Measurement:
    """Time images by their sizes, which are their labels."""
    measured = _time_separately(contestants, images, plan, watch)
    largest = measured[-1].label
    return Measurement(
        name="sizes",
        title="Latency by size of the image, ms",
        unit="ms",
        better="lower",
        cases=measured,
        headline=largest,
        summary=f"Latency, image of {largest}",
        pairs=pairs(contestants),
    )


def _time_separately(
    contestants: Sequence[Contestant], images: Mapping[str, Shot], plan: Plan, watch: Watch
) -> tuple[Case, ...]:
    """One case for each image, the median of its milliseconds."""
    shots = [shot for shot in images.values() for _ in range(plan.repeats)]
    results = in_rounds(contestants, plan.rounds, lambda each: each.time_each(shots), watch)
    median = percentile(50)

    def series(key: str, index: int) -> Series:
        begin = index * plan.repeats
        return Series.of_samples(
            [
                [second * 1000 for second in seconds[begin : begin + plan.repeats]]
                for seconds, _ in results[key]
            ],
            median,
        )

    return tuple(
        Case(label, {each.key: series(each.key, index) for each in contestants})
        for index, label in enumerate(images)
    )
