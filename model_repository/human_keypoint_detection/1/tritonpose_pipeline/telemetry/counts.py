"""Counts what the pipeline does, in plain Python: nothing here waits for Triton."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tritonpose_pipeline.errors import RequestError
from tritonpose_pipeline.telemetry.spans import Stage

STAGES = (
    "queue",
    "options",
    "check",
    "memory",
    "core",
    "decode",
    "detector_input",
    "detector",
    "persons",
    "crops",
    "keypoint_model",
    "heatmaps",
    "respond",
)
"""The stages of a request, in order; a request need not pass through all."""

OUTCOMES = ("ok", "invalid", "unavailable", "deadline", "cancelled", "internal")
"""The kinds of a request's end, from most to least wanted."""

REASONS = (
    "options",
    "image",
    "damaged_image",
    "max_in_flight",
    "shutdown",
    "model",
    "memory",
    "deadline",
    "cancelled",
    "internal",
)
"""Why requests get no result."""

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms' buckets in seconds; there is one more without a bound."""


class Family(NamedTuple):
    """A metric and all label values that it can have.

    Attributes:
        name: Its name.
        help: What it says.
        label: Name of its label, empty for none.
        values: All values of the label, ("",) for none.
    """

    name: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)


REQUESTS = Family("tritonpose_pipeline_requests_total", "Requests by outcome.", "outcome", OUTCOMES)
REJECTIONS = Family(
    "tritonpose_pipeline_rejections_total", "Requests without a result.", "reason", REASONS
)
PERSONS = Family("tritonpose_pipeline_persons_total", "Persons found.")
REQUEST_SECONDS = Family(
    "tritonpose_pipeline_request_seconds", "From a request's arrival to its answer."
)
STAGE_SECONDS = Family(
    "tritonpose_pipeline_stage_seconds", "Time in a stage of a request.", "stage", STAGES
)
IN_FLIGHT = Family("tritonpose_pipeline_requests_in_flight", "Requests in flight.")

COUNTERS = (REQUESTS, REJECTIONS, PERSONS)
HISTOGRAMS = (REQUEST_SECONDS, STAGE_SECONDS)

Key = tuple[str, str]
"""Name of a metric and value of its label."""


@dataclass
class Observations:
    """What one series of a histogram has seen.

    Attributes:
        counts: Observations in each bucket, those of other buckets not included.
        seconds: Their sum.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Add an observation."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Increments(NamedTuple):
    """What has been counted since the last time.

    Attributes:
        counters: By metric and label value.
        histograms: Likewise.
        in_flight: Requests in flight now.
    """

    counters: Mapping[Key, float]
    histograms: Mapping[Key, Observations]
    in_flight: int


class PipelineCounts:
    """Counts of one process. Thread-safe; counting a request takes some microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self._counters: dict[Key, float] = defaultdict(float)
        self._histograms: dict[Key, Observations] = defaultdict(Observations)

    def accepted(self) -> None:
        """Count a request that was accepted."""
        with self._lock:
            self._in_flight += 1

    def refused(self, error: Exception) -> None:
        """Count a request that was not accepted."""
        with self._lock:
            self._reject(error)

    def succeeded(self, stages: Sequence[Stage], persons: int) -> None:
        """Count an accepted request that got its result."""
        with self._lock:
            self._counters[REQUESTS.name, "ok"] += 1
            self._counters[PERSONS.name, ""] += persons
            self._end(stages)

    def failed(self, stages: Sequence[Stage], error: Exception) -> None:
        """Count an accepted request that got no result."""
        with self._lock:
            self._reject(error)
            self._end(stages)

    def take(self) -> Increments:
        """Return what has been counted since the last call."""
        with self._lock:
            taken = Increments(self._counters, self._histograms, self._in_flight)
            self._counters, self._histograms = defaultdict(float), defaultdict(Observations)
        return taken

    def _reject(self, error: Exception) -> None:
        kind = type(error) if isinstance(error, RequestError) else RequestError
        self._counters[REQUESTS.name, kind.outcome] += 1
        self._counters[REJECTIONS.name, kind.reason] += 1

    def _end(self, stages: Sequence[Stage]) -> None:
        self._in_flight -= 1
        for stage in stages:
            self._histograms[STAGE_SECONDS.name, stage.name].add(stage.seconds)
        if stages:
            total = (stages[-1].end - stages[0].start) / 1e9
            self._histograms[REQUEST_SECONDS.name, ""].add(total)
