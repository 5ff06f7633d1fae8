"""Copies the pipeline's counts to Triton, which shows them on its ``/metrics``."""

from __future__ import annotations

import threading
from itertools import accumulate
from typing import Any

from tritonpose_pipeline.telemetry.counts import (
    BOUNDS,
    COUNTERS,
    HISTOGRAMS,
    IN_FLIGHT,
    Family,
    Key,
    PipelineCounts,
)

# As often as Triton updates its metrics of the machine.
_INTERVAL_SECONDS = 2.0

_LIMITS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


class TritonMetrics:
    """The metrics that Triton shows, updated every two seconds by one thread.

    Each touch of a metric is a round trip to tritonserver's process, and touches by several
    threads at a time crash it. So histograms are counters, named as Prometheus names the parts of a
    histogram: Triton's own kind takes one round trip per observation.
    """

    def __init__(self, pb_utils: Any, counts: PipelineCounts) -> None:
        """Make all metrics, at zero, and start.

        Args:
            pb_utils: ``triton_python_backend_utils``.
            counts: What to show.
        """
        self._pb = pb_utils
        self._counts = counts
        # Their families must live as long as they do.
        self._families: list[Any] = []
        counter, gauge = pb_utils.MetricFamily.COUNTER, pb_utils.MetricFamily.GAUGE
        self._counters = {
            key: metric for family in COUNTERS for key, metric in self._add(family, counter).items()
        }
        self._histograms = {
            key: series for family in HISTOGRAMS for key, series in self._histogram(family).items()
        }
        self._in_flight = self._add(IN_FLIGHT, gauge)[IN_FLIGHT.name, ""]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Show the last counts and stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL_SECONDS):
            self._show()
        self._show()

    def _show(self) -> None:
        taken = self._counts.take()
        self._in_flight.set(float(taken.in_flight))
        for key, count in taken.counters.items():
            if count:
                self._counters[key].increment(count)
        for key, seen in taken.histograms.items():
            buckets, total, seconds = self._histograms[key]
            cumulative = list(accumulate(seen.counts))
            for bucket, count in zip(buckets, cumulative, strict=True):
                if count:
                    bucket.increment(float(count))
            total.increment(float(cumulative[-1]))
            seconds.increment(seen.seconds)

    def _histogram(self, family: Family) -> dict[Key, tuple[list[Any], Any, Any]]:
        """Make the series of a histogram: buckets, count and sum for each label value."""
        counter = self._pb.MetricFamily.COUNTER
        buckets = self._family(f"{family.name}_bucket", family.help, counter)
        totals = self._family(f"{family.name}_count", family.help, counter)
        sums = self._family(f"{family.name}_sum", family.help, counter)
        return {
            (family.name, value): (
                [buckets.Metric(labels=_labels(family, value) | {"le": le}) for le in _LIMITS],
                totals.Metric(labels=_labels(family, value)),
                sums.Metric(labels=_labels(family, value)),
            )
            for value in family.values
        }

    def _add(self, family: Family, kind: Any) -> dict[Key, Any]:
        made = self._family(family.name, family.help, kind)
        return {
            (family.name, value): made.Metric(labels=_labels(family, value))
            for value in family.values
        }

    def _family(self, name: str, text: str, kind: Any) -> Any:
        family = self._pb.MetricFamily(name=name, description=text, kind=kind)
        self._families.append(family)
        return family


def _labels(family: Family, value: str) -> dict[str, str]:
    return {family.label: value} if family.label else {}
