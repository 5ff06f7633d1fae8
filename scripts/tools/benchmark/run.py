"""Run the benchmark once: start contestants, compare answers, measure, collect facts."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2

from tools.benchmark.agreement import compare_answers
from tools.benchmark.contestants import Contestant, InProcessContestant
from tools.benchmark.latency import (
    RENDER,
    measure_each_image,
    measure_latency,
    measure_rendering,
)
from tools.benchmark.lineup import Contestants, start_contestants
from tools.benchmark.machine import Watch, machine_facts, package_versions, resident_bytes
from tools.benchmark.results import (
    Entry,
    Measurement,
    Outcome,
    Overhead,
    cost_per_person,
    request_overhead,
)
from tools.benchmark.throughput import measure_client, measure_throughput
from tools.benchmark.workload import Plan, Sample, Workload, make_workload
from tools.evaluation.server_facts import ask_server
from tritonpose.config import PipelineConfig
from tritonpose.transport.connection import Connection

MEASUREMENTS = ("latency", "throughput", "people", "sizes", "rendering", "client")
"""What can be measured, in this order."""

_TRIAL_IMAGES = 5
_CROPS = 8
_CROP_BATCHES = 20

Progress = Callable[[str], None]


def run_benchmark(
    config: PipelineConfig,
    images: Sequence[Path],
    plan: Plan,
    wanted: Collection[str],
    *,
    with_paddlex: bool,
    progress: Progress,
) -> Outcome:
    """Measure all contestants on the same images.

    Args:
        config: The pipeline.
        images: Photos.
        plan: How much is measured.
        wanted: Some of `MEASUREMENTS`.
        with_paddlex: Whether PaddleX takes part; without it nothing is drawn.
        progress: Called with lines for the user.

    Raises:
        BenchmarkError: A contestant can't be started or fails.
        ConversionError: A model can't be converted, or PaddleX's environment can't be made.
        FetchError: The models can't be fetched.
        TritonPoseError: The server does not start, or refuses an image.
    """
    trial = [Sample(path) for path in images[:_TRIAL_IMAGES]]
    with (
        start_contestants(
            config, trial, with_paddlex=with_paddlex, progress=progress
        ) as contestants,
        tempfile.TemporaryDirectory() as work,
    ):
        workload = make_workload(images, plan, contestants.ours[0].answer, Path(work))
        progress("comparing answers")
        reference, *others = contestants.in_tables
        verdicts = compare_answers(reference, others, workload)
        watch = Watch([*contestants.in_tables, contestants.predict])
        measurements, overhead = _measure(contestants, workload, plan, wanted, watch, progress)
        return Outcome(
            facts=_facts(contestants, workload, plan),
            entries={
                **{
                    each.key: Entry(each.label, each.role)
                    for each in [*contestants.in_tables, contestants.predict]
                },
                RENDER: Entry("tritonpose, draw_poses()", "ours"),
            },
            measurements=tuple(measurements),
            reference=reference.key,
            verdicts=tuple(verdicts),
            memory=_memory(contestants.in_tables),
            overhead=overhead,
            disturbance=watch.disturbance(),
        )


def _measure(
    contestants: Contestants,
    workload: Workload,
    plan: Plan,
    wanted: Collection[str],
    watch: Watch,
    progress: Progress,
) -> tuple[list[Measurement], Overhead]:
    everyone, photos = contestants.in_tables, workload.photos
    grpc, engine = contestants.ours[0], contestants.engine
    measurements, overhead = [], Overhead()

    def starts(name: str) -> bool:
        if name in wanted:
            progress(f"measuring {name}")
        return name in wanted

    if starts("latency"):
        latency, milliseconds = measure_latency(everyone, photos, plan, watch)
        measurements.append(latency)
        request_ms = request_overhead(milliseconds[grpc.key], milliseconds[engine.key])
        overhead = replace(overhead, request_ms=request_ms)
    if starts("throughput"):
        throughput, cpu = measure_throughput(everyone, photos, plan, watch)
        measurements += [throughput, cpu]
        share = throughput.ratio(throughput.cases[-1], grpc.key, engine.key)
        overhead = replace(overhead, throughput_share=share.value if share else None)
    if starts("people"):
        people = measure_each_image("people", everyone, workload.persons, plan, watch)
        measurements.append(people)
        crop_seconds = engine.worker.call("crop_seconds", batch=_CROPS, repeat=_CROP_BATCHES)
        overhead = replace(
            overhead,
            person_ms=cost_per_person(people, grpc.key),
            engine_person_ms=cost_per_person(people, engine.key),
            crop_ms=statistics.median(crop_seconds) * 1000,
        )
    if starts("sizes"):
        sizes = measure_each_image("sizes", everyone, workload.sizes, plan, watch)
        measurements.append(sizes)
    if starts("rendering"):
        if contestants.paddlex is None:
            progress("drawing is compared with PaddleX's only: give --paddlex")
        else:
            measurements.append(measure_rendering(contestants.paddlex, workload.scene, plan))
    if starts("client"):
        in_process = [each for each in contestants.rivals if isinstance(each, InProcessContestant)]
        others = [*in_process, grpc]
        measurements.append(measure_client(contestants.predict, others, photos, plan, watch))
    return measurements, overhead


def _memory(contestants: Sequence[Contestant]) -> dict[str, int]:
    """Measure resident bytes by label; contestants that share processes share a label."""
    labels: dict[tuple[int, ...], list[str]] = {}
    for each in contestants:
        labels.setdefault(tuple(each.processes()), []).append(each.label)
    return {"; ".join(names): resident_bytes(roots) for roots, names in labels.items()}


def _facts(contestants: Contestants, workload: Workload, plan: Plan) -> dict[str, object]:
    versions: dict[str, object] = {"ours": package_versions()}
    versions["triton"] = ask_server(Connection.from_options(contestants.server.grpc_url)).version
    versions["engine"] = contestants.engine.worker.call("facts")
    if contestants.paddlex is not None:
        versions["paddlex"] = contestants.paddlex.worker.call("facts")
    return {
        "machine": machine_facts(),
        "versions": versions,
        "models": asdict(contestants.choice.settings),
        "images": [_describe(sample, contestants.engine) for sample in workload.photos],
        "people_image": next((s.path.name for s in workload.persons.values()), None),
        "plan": asdict(plan),
    }


def _describe(sample: Sample, engine: Contestant) -> dict[str, object]:
    height, width = cv2.imread(str(sample.path)).shape[:2]
    return {
        "name": sample.path.name,
        "width": width,
        "height": height,
        "bytes": sample.path.stat().st_size,
        "persons": len(engine.answer(sample).boxes),
    }
