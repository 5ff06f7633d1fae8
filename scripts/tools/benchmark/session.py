"""The measurements of one run, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tools.benchmark.contestants.in_process import InProcessContestant
from tools.benchmark.field import Field
from tools.benchmark.measure.latency import measure_latency, measure_people, measure_sizes
from tools.benchmark.measure.rendering import measure_rendering
from tools.benchmark.measure.throughput import measure_client, measure_throughput
from tools.benchmark.overhead import (
    Overhead,
    cost_per_person,
    crop_milliseconds,
    request_overhead,
)
from tools.benchmark.plan import Plan
from tools.benchmark.results import Measurement
from tools.benchmark.watch import Watch
from tools.benchmark.workload import Workload

MEASUREMENTS = ("latency", "throughput", "people", "sizes", "rendering", "client")
"""What can be measured, in the order in which it is."""

_CROPS = 8
_CROP_BATCHES = 20

Progress = Callable[[str], None]


class Session:
    """Measurements of one run, as they come.

    Args:
        field: Who takes part.
        workload: What is measured.
        plan: How much is measured.
        progress: Called with lines for the user.

    Attributes:
        measurements: Those so far.
        overhead: What they tell about the server's overhead.
        watch: Over all of them.
    """

    def __init__(self, field: Field, workload: Workload, plan: Plan, progress: Progress) -> None:
        self.measurements: list[Measurement] = []
        self.overhead = Overhead()
        self.watch = Watch([*field.contestants, field.predict])
        self._field = field
        self._workload = workload
        self._plan = plan
        self._progress = progress

    def measure(self, name: str) -> None:
        """Do one of `MEASUREMENTS`.

        Raises:
            BenchmarkError: A contestant fails, or pictures differ.
            TritonPoseError: The server refuses an image or fails.
        """
        self._progress(f"measuring {name}")
        {
            "latency": self._latency,
            "throughput": self._throughput,
            "people": self._people,
            "sizes": self._sizes,
            "rendering": self._rendering,
            "client": self._client,
        }[name]()

    def _latency(self) -> None:
        field = self._field
        latencies = measure_latency(
            field.contestants, self._workload.photos, self._plan, self.watch
        )
        self.measurements.append(latencies.measurement)
        served, engine = (latencies.samples[key] for key in (field.ours[0].key, field.engine.key))
        self.overhead = replace(self.overhead, request_ms=request_overhead(served, engine))

    def _throughput(self) -> None:
        field = self._field
        throughput, cpu = measure_throughput(
            field.contestants, self._workload.photos, self._plan, self.watch
        )
        self.measurements += [throughput, cpu]
        share = throughput.ratio(throughput.cases[-1], field.ours[0].key, field.engine.key)
        self.overhead = replace(self.overhead, throughput_share=share.value if share else None)

    def _people(self) -> None:
        field = self._field
        people = measure_people(field.contestants, self._workload.persons, self._plan, self.watch)
        self.measurements.append(people)
        crops = field.engine.worker.call("crop_seconds", batch=_CROPS, repeat=_CROP_BATCHES)
        self.overhead = replace(
            self.overhead,
            person_ms=cost_per_person(people, field.ours[0].key),
            engine_person_ms=cost_per_person(people, field.engine.key),
            crop_ms=crop_milliseconds(crops),
        )

    def _sizes(self) -> None:
        self.measurements.append(
            measure_sizes(self._field.contestants, self._workload.sizes, self._plan, self.watch)
        )

    def _rendering(self) -> None:
        if self._field.paddlex is None:
            self._progress("drawing is compared with PaddleX's only: give --paddlex")
            return
        self.measurements.append(
            measure_rendering(self._field.paddlex, self._workload.scene, self._plan)
        )

    def _client(self) -> None:
        field = self._field
        in_process = [each for each in field.rivals if isinstance(each, InProcessContestant)]
        others = [*in_process, field.ours[0]]
        self.measurements.append(
            measure_client(field.predict, others, self._workload.photos, self._plan, self.watch)
        )
