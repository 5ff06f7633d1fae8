"""Run the benchmark once: start contestants, compare answers, measure, collect facts."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from tools.benchmark.contestants import (
    BatchContestant,
    Contestant,
    InProcessContestant,
    PredictContestant,
    RestContestant,
    TritonContestant,
)
from tools.benchmark.figures import Measurement, cost_per_person
from tools.benchmark.machine import Watch, machine_facts, package_versions, resident_bytes
from tools.benchmark.measure import (
    RENDER,
    measure_batch,
    measure_client,
    measure_each_image,
    measure_latency,
    measure_rendering,
    measure_start,
    measure_throughput,
    request_overhead,
)
from tools.benchmark.paddlex import check_same_models, paddlex_config, start_paddlex
from tools.benchmark.worker import Worker
from tools.benchmark.workload import Plan, Sample, Workload, make_workload
from tools.evaluation.agreement import Agreement
from tools.evaluation.server_facts import ask_server
from tritonpose.config import PipelineConfig
from tritonpose.transport.connection import Connection
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import ModelChoice, choose_models
from tritonpose_server.python_programs import isolated_python

MEASUREMENTS = (
    *("latency", "throughput", "people", "sizes", "rendering", "client", "batch", "start"),
)
"""What can be measured, in this order."""

_TRIAL_IMAGES = 5
_CROPS = 8
_CROP_BATCHES = 20

# How far equal answers may be apart.
_BOX_TOLERANCE_PX = 0.05
_SCORE_TOLERANCE = 0.001
_CLOSE_KEYPOINTS = 0.985

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Contestants:
    """All contestants, running.

    `engine` is the limit, `local` is ours without a server, `ours` are the ways to the server,
    `predict` is the client's pipeline object, `batch` REST's requests of several images.
    `rivals` are PaddleX in process with its defaults, in process at its fastest, serving; or none.
    """

    choice: ModelChoice
    server: EmbeddedServer
    rivals: tuple[Contestant, ...]
    engine: InProcessContestant
    local: InProcessContestant
    ours: tuple[Contestant, ...]
    predict: PredictContestant
    batch: BatchContestant

    @property
    def in_tables(self) -> list[Contestant]:
        """All that answer images one by one, in the order of tables."""
        return [*self.rivals, self.engine, *self.ours, self.local]

    @property
    def in_process(self) -> list[InProcessContestant]:
        """PaddleX in process, with its defaults first; empty where it does not take part."""
        return [each for each in self.rivals if isinstance(each, InProcessContestant)]


def run_benchmark(
    config: PipelineConfig,
    images: Sequence[Path],
    plan: Plan,
    wanted: Collection[str],
    *,
    with_paddlex: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Measure all contestants on the same images; without PaddleX nothing is drawn."""
    trial = [Sample(path) for path in images[:_TRIAL_IMAGES]]
    with (
        _running(config, trial, with_paddlex, progress) as contestants,
        tempfile.TemporaryDirectory() as work,
    ):
        workload = make_workload(images, plan, contestants.ours[0].answer, Path(work))
        everyone = [*contestants.in_tables, contestants.predict, contestants.batch]
        progress("comparing answers")
        agreement = compare_answers(contestants.in_tables, workload)
        watch = Watch(everyone)
        measurements, overhead = _measure(contestants, workload, plan, wanted, watch, progress)
        return {
            **_facts(contestants, workload, plan),
            "contestants": {
                **{each.key: {"label": each.label, "role": each.role} for each in everyone},
                RENDER: {"label": "tritonpose, draw_poses()", "role": "ours"},
            },
            "measurements": measurements,
            "overhead": overhead,
            "memory_bytes": _memory(contestants.in_tables),
            "agreement": agreement,
            "disturbance": watch.disturbance(),
        }


def compare_answers(contestants: Sequence[Contestant], workload: Workload) -> dict[str, Any]:
    """Ask every contestant for every image once, and compare. This warms them up, too.

    The first contestant's answers count as right. Of photos, boxes and keypoints are compared, of
    other images the number of people.
    """
    made = {**workload.persons, **workload.sizes}
    reference, *others = contestants

    def ask(contestant: Contestant) -> tuple[list[Any], dict[str, int]]:
        photos = [contestant.answer(sample) for sample in workload.photos]
        return photos, {label: len(contestant.answer(each).boxes) for label, each in made.items()}

    expected, expected_counts = ask(reference)
    verdicts = []
    for contestant in others:
        found, counts = ask(contestant)
        names = [sample.path.name for sample in workload.photos]
        photos = Agreement.of(list(zip(names, expected, found, strict=True)))
        other_counts = [label for label in made if counts[label] != expected_counts[label]]
        agrees = (
            not photos.other_persons
            and not other_counts
            and (photos.box_px or 0) <= _BOX_TOLERANCE_PX
            and (photos.det_score or 0) <= _SCORE_TOLERANCE
            and (photos.close_share is None or photos.close_share >= _CLOSE_KEYPOINTS)
        )
        verdicts.append(
            {
                "key": contestant.key,
                "photos": asdict(photos),
                "other_counts": other_counts,
                "agrees": agrees,
            }
        )
    return {
        "reference": reference.key,
        "all_agree": all(verdict["agrees"] for verdict in verdicts),
        "contestants": verdicts,
    }


@contextmanager
def _running(
    config: PipelineConfig, trial: Sequence[Sample], with_paddlex: bool, progress: Progress
) -> Iterator[Contestants]:
    """Start all contestants, for as long as the context lasts; ``trial`` is for `start_paddlex`."""
    choice = choose_models(config, progress)
    if with_paddlex:
        check_same_models(config, choice.models)
    with ExitStack() as stack:

        def enter(contestant: Contestant) -> Contestant:
            stack.callback(contestant.close)
            return contestant

        rivals = start_paddlex(config, trial, progress, enter) if with_paddlex else ()
        progress("starting Triton, the REST service and the bare engine")
        engine = _bare_engine(choice)
        enter(engine)
        server = stack.enter_context(EmbeddedServer(choice.models, choice.settings))
        predict = PredictContestant(server)
        enter(predict)
        program = str(Path(sys.executable).with_name("tritonpose"))
        serve = [program, "serve", "--url", server.grpc_url]
        behind = [] if server.pid is None else [server.pid]
        local = _local_engine(config)
        enter(local)
        rest = RestContestant("rest", "tritonpose, REST", "ours", serve, behind=behind)
        enter(rest)
        ours = (
            enter(TritonContestant("grpc", "tritonpose, gRPC", server.grpc_url, server)),
            enter(TritonContestant("http", "tritonpose, HTTP", server.http_url, server)),
            rest,
        )
        batch = BatchContestant(rest)
        yield Contestants(choice, server, rivals, engine, local, ours, predict, batch)


def _bare_engine(choice: ModelChoice) -> InProcessContestant:
    by_name = {model.name: str(model) for model in choice.models}
    settings = choice.settings
    arguments = [
        by_name[settings.detector],
        by_name[settings.keypoint_model],
        json.dumps({key: text for key, text in settings.to_parameters().items() if text}),
    ]
    start = partial(Worker, "the bare engine", isolated_python(), "bare_engine.py", arguments)
    return InProcessContestant("engine", "bare engine", "limit", parallel=True, start=start)


def _local_engine(config: PipelineConfig) -> InProcessContestant:
    arguments = [json.dumps(paddlex_config(config))]
    start = partial(Worker, "the local engine", isolated_python(), "local_engine.py", arguments)
    return InProcessContestant("local", "tritonpose, local:", "ours", parallel=True, start=start)


def _measure(
    contestants: Contestants,
    workload: Workload,
    plan: Plan,
    wanted: Collection[str],
    watch: Watch,
    progress: Progress,
) -> tuple[list[Measurement], dict[str, float | None]]:
    """Measure what is wanted, and what the server costs compared with the bare engine."""
    everyone, photos = contestants.in_tables, workload.photos
    grpc, engine = contestants.ours[0], contestants.engine
    measurements: list[Measurement] = []
    overhead: dict[str, float | None] = {}

    def starts(name: str) -> bool:
        if name in wanted:
            progress(f"measuring {name}")
        return name in wanted

    if starts("latency"):
        latency, milliseconds = measure_latency(everyone, photos, plan, watch)
        measurements.append(latency)
        served, bare = milliseconds[grpc.key], milliseconds[engine.key]
        overhead["request_ms"] = request_overhead(served, bare)
    if starts("throughput"):
        measurements += measure_throughput(everyone, photos, plan, watch)
        best = measurements[-2]["cases"][-1]["ratios"]
        shares = {(each["ours"], each["other"]): each["value"] for each in best}
        overhead["throughput_share"] = shares[grpc.key, engine.key]
    if starts("people"):
        people = measure_each_image("people", everyone, workload.persons, plan, watch)
        measurements.append(people)
        crops = engine.worker.call("crop_seconds", batch=_CROPS, repeat=_CROP_BATCHES)
        person_ms, crop_ms = cost_per_person(people, grpc.key), statistics.median(crops) * 1000
        overhead["person_ms"] = person_ms
        overhead["engine_person_ms"] = cost_per_person(people, engine.key)
        overhead["crop_ms"] = crop_ms
        overhead["persons_per_crop"] = None if person_ms is None else person_ms / crop_ms
    if starts("sizes"):
        measurements.append(measure_each_image("sizes", everyone, workload.sizes, plan, watch))
    if starts("rendering"):
        if contestants.in_process:
            measurements.append(measure_rendering(contestants.in_process[0], workload.scene, plan))
        else:
            progress("drawing is compared with PaddleX's only: give --paddlex")
    if starts("client"):
        others = [*contestants.in_process, grpc]
        measurements.append(measure_client(contestants.predict, others, photos, plan, watch))
    if starts("batch"):
        rest, batch = contestants.ours[-1], contestants.batch
        measurements.append(measure_batch(batch, rest, photos, plan, watch))
    if starts("start"):
        in_process = [*contestants.in_process, contestants.engine, contestants.local]
        measurements.append(measure_start(in_process, photos[0], plan))
    return measurements, overhead


def _memory(contestants: Sequence[Contestant]) -> dict[str, int]:
    """Measure resident bytes by label; contestants that share processes share a label."""
    labels: dict[tuple[int, ...], list[str]] = {}
    for each in contestants:
        labels.setdefault(tuple(each.processes()), []).append(each.label)
    return {"; ".join(names): resident_bytes(roots) for roots, names in labels.items()}


def _facts(contestants: Contestants, workload: Workload, plan: Plan) -> dict[str, object]:
    triton = ask_server(Connection.from_options(contestants.server.grpc_url)).version
    workers = [("engine", contestants.engine), *(("paddlex", x) for x in contestants.in_process)]
    return {
        "machine": machine_facts(),
        "versions": {
            "ours": package_versions(),
            "triton": triton,
            **{name: each.worker.call("facts") for name, each in workers},
        },
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
