"""Counts what the pipeline does, and shows the counts in Triton's ``/metrics``.

Counting is plain Python and waits for nothing. Each touch of a metric of Triton is a round trip
to tritonserver's process, and touches by several threads at a time crash it: one thread copies the
counts every two seconds. Histograms are counters, named as Prometheus names the parts of a
histogram: Triton's own kind takes one round trip per observation.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

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

_BUCKETS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")

# As often as Triton updates its metrics of the machine.
_INTERVAL_SECONDS = 2.0


class Family(NamedTuple):
    """A metric and all label values that it can have: a counter, or a histogram of seconds.

    Without a label, `label` is empty and `values` is ("",).
    """

    name: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)
    histogram: bool = False


REQUESTS = Family("tritonpose_pipeline_requests_total", "Requests by outcome.", "outcome", OUTCOMES)
REJECTIONS = Family(
    "tritonpose_pipeline_rejections_total", "Requests without a result.", "reason", REASONS
)
PERSONS = Family("tritonpose_pipeline_persons_total", "Persons found.")
REQUEST_SECONDS = Family(
    "tritonpose_pipeline_request_seconds",
    "From a request's arrival to its answer.",
    histogram=True,
)
STAGE_SECONDS = Family(
    "tritonpose_pipeline_stage_seconds", "Time in a stage of a request.", "stage", STAGES, True
)
IN_FLIGHT = Family("tritonpose_pipeline_requests_in_flight", "Requests in flight.")
STARTED = Family(
    "tritonpose_pipeline_start_time_seconds",
    "When the pipeline's last process started, in seconds since 1970: changes are restarts.",
)
MEMORY = Family(
    "tritonpose_pipeline_resident_memory_bytes", "Memory of the pipeline's processes, in bytes."
)

FAMILIES = (REQUESTS, REJECTIONS, PERSONS, REQUEST_SECONDS, STAGE_SECONDS)
"""All but ``IN_FLIGHT``, ``STARTED`` and ``MEMORY``, which don't count."""

Key = tuple[str, str, str]
"""Name of a counter, value of its label, and bound of its bucket; empty where it has none."""


class PipelineCounts:
    """Counts of one process. Thread-safe; counting a request takes some microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self._counters: dict[Key, float] = defaultdict(float)
        # Observations in each bucket of a histogram, those of other buckets not included.
        self._buckets: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(_BUCKETS))

    def accepted(self) -> None:
        """Count a request that was accepted."""
        with self._lock:
            self._in_flight += 1

    def refused(self, error: Exception) -> None:
        """Count a request that was not accepted."""
        with self._lock:
            self._reject(error)

    def succeeded(self, stages: Sequence[Stage], people: int) -> None:
        """Count an accepted request that got its result."""
        with self._lock:
            self._counters[REQUESTS.name, "ok", ""] += 1
            self._counters[PERSONS.name, "", ""] += people
            self._end(stages)

    def failed(self, stages: Sequence[Stage], error: Exception) -> None:
        """Count an accepted request that got no result."""
        with self._lock:
            self._reject(error)
            self._end(stages)

    def take(self) -> tuple[Mapping[Key, float], int]:
        """Return what has been counted since the last call, and the requests in flight now."""
        with self._lock:
            counters, self._counters = self._counters, defaultdict(float)
            buckets, self._buckets = self._buckets, defaultdict(lambda: [0] * len(_BUCKETS))
            in_flight = self._in_flight
        for (name, value), counts in buckets.items():
            for bound, count in zip(_BUCKETS, accumulate(counts), strict=True):
                counters[f"{name}_bucket", value, bound] += count
            counters[f"{name}_count", value, ""] += sum(counts)
        return counters, in_flight

    def _reject(self, error: Exception) -> None:
        kind = type(error) if isinstance(error, RequestError) else RequestError
        self._counters[REQUESTS.name, kind.outcome, ""] += 1
        self._counters[REJECTIONS.name, kind.reason, ""] += 1

    def _end(self, stages: Sequence[Stage]) -> None:
        self._in_flight -= 1
        for stage in stages:
            self._observe(STAGE_SECONDS, stage.name, stage.seconds)
        if stages:
            self._observe(REQUEST_SECONDS, "", (stages[-1].end - stages[0].start) / 1e9)

    def _observe(self, family: Family, value: str, seconds: float) -> None:
        self._buckets[family.name, value][bisect_left(BOUNDS, seconds)] += 1
        self._counters[f"{family.name}_sum", value, ""] += seconds


class TritonMetrics:
    """The metrics that Triton shows, updated every two seconds by one thread."""

    def __init__(
        self,
        pb_utils: Any,
        counts: PipelineCounts,
        when_idle: Callable[[], None],
        interval_s: float = _INTERVAL_SECONDS,
    ) -> None:
        """Make all metrics, at zero, and start to update them at an interval.

        ``pb_utils`` is ``triton_python_backend_utils``; ``when_idle`` is called once whenever an
        interval had no requests after one that had.
        """
        self._pb = pb_utils
        self._counts = counts
        self._when_idle = when_idle
        self._interval_s = interval_s
        self._was_idle = True
        # Their families must live as long as they do.
        self._families: list[Any] = []
        self._counters: dict[Key, Any] = {}
        for family in FAMILIES:
            for suffix in ("_bucket", "_count", "_sum") if family.histogram else ("",):
                self._add(family, suffix, _BUCKETS if suffix == "_bucket" else ("",))
        gauges = (
            self._family(family, "", pb_utils.MetricFamily.GAUGE).Metric(labels={})
            for family in (IN_FLIGHT, STARTED, MEMORY)
        )
        in_flight, self._started, memory = gauges
        self._in_flight, self._memory = _Share(in_flight), _Share(memory)
        self._start: float | None = time.time()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Show the last counts and stop."""
        self._stopping.set()
        self._thread.join()
        self._memory.set(0.0)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._show()
        self._show()

    def _show(self) -> None:
        counters, in_flight = self._counts.take()
        self._in_flight.set(float(in_flight))
        self._memory.set(float(_resident_bytes()))
        if self._start is not None:
            # That of the last instance that started.
            self._started.set(max(self._start, self._started.value()))
            self._start = None
        for key, increment in counters.items():
            if increment:
                self._counters[key].increment(float(increment))
        idle = not counters and not in_flight
        if idle and not self._was_idle:
            self._when_idle()
        self._was_idle = idle

    def _add(self, family: Family, suffix: str, bounds: Sequence[str]) -> None:
        made = self._family(family, suffix, self._pb.MetricFamily.COUNTER)
        for value in family.values:
            for bound in bounds:
                labels = {family.label: value, "le": bound}
                labels = {label: text for label, text in labels.items() if label and text}
                self._counters[family.name + suffix, value, bound] = made.Metric(labels=labels)

    def _family(self, family: Family, suffix: str, kind: Any) -> Any:
        made = self._pb.MetricFamily(name=family.name + suffix, description=family.help, kind=kind)
        self._families.append(made)
        return made


class _Share:
    """This process's share of a gauge of Triton's, to which other instances add theirs."""

    def __init__(self, gauge: Any) -> None:
        self._gauge = gauge
        self._shown = 0.0

    def set(self, value: float) -> None:
        """Show another value."""
        if value != self._shown:
            self._gauge.increment(value - self._shown)
            self._shown = value


def _resident_bytes() -> int:
    """Return the memory that this process has."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
