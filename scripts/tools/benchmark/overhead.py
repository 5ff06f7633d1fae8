"""What the server adds to the bare engine."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.benchmark.results import Measurement


@dataclass(frozen=True)
class Overhead:
    """What the server costs beside the bare engine; None where it was not measured.

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
    """What a server adds per image: the mean over images of the difference of their medians.

    Args:
        served: Milliseconds ``[rounds, passes, images]``.
        engine: The same of the bare engine, for the same images.
    """
    difference = np.median(served, axis=(0, 1)) - np.median(engine, axis=(0, 1))
    return float(difference.mean())


def cost_per_person(people: Measurement, key: str) -> float | None:
    """What each person beyond the first adds, from the cases with one person and with most.

    Args:
        people: Its cases are labelled by numbers of people.
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


def crop_milliseconds(seconds: list[float]) -> float:
    """The keypoint model's time per crop from those of several batches."""
    return statistics.median(seconds) * 1000
