"""One run of the benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2

from tools.benchmark.agreement import compare_answers
from tools.benchmark.contestants.base import Contestant
from tools.benchmark.field import Field, open_field
from tools.benchmark.machine import machine_facts, package_versions
from tools.benchmark.measure.rendering import OURS
from tools.benchmark.outcome import Entry, Outcome
from tools.benchmark.plan import Plan
from tools.benchmark.process_tree import resident_bytes
from tools.benchmark.session import MEASUREMENTS, Session
from tools.benchmark.shots import Shot
from tools.benchmark.workload import Workload, make_workload
from tools.evaluation.server_facts import ask_server
from tritonpose.config import PipelineConfig
from tritonpose.transport.connection import Connection

_TRIAL_IMAGES = 5

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
    """Measure everyone on the same images.

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
    trial = [Shot(path) for path in images[:_TRIAL_IMAGES]]
    with (
        open_field(config, trial, with_paddlex=with_paddlex, progress=progress) as field,
        tempfile.TemporaryDirectory() as work,
    ):
        workload = make_workload(images, plan, field.ours[0].answer, Path(work))
        progress("comparing answers")
        reference, *others = field.contestants
        verdicts = compare_answers(reference, others, workload)
        session = Session(field, workload, plan, progress)
        for name in MEASUREMENTS:
            if name in wanted:
                session.measure(name)
        return Outcome(
            facts=_facts(field, workload, plan),
            entries=_entries(field),
            measurements=tuple(session.measurements),
            reference=reference.key,
            verdicts=tuple(verdicts),
            memory=_memory(field.contestants),
            overhead=session.overhead,
            disturbance=session.watch.disturbance(),
        )


def _memory(contestants: Sequence[Contestant]) -> dict[str, int]:
    """Resident bytes by label; those who share their processes share a label."""
    labels: dict[tuple[int, ...], list[str]] = {}
    for each in contestants:
        labels.setdefault(tuple(each.processes()), []).append(each.label)
    return {"; ".join(names): resident_bytes(roots) for roots, names in labels.items()}


def _entries(field: Field) -> dict[str, Entry]:
    entries = {
        each.key: Entry(each.label, each.role) for each in [*field.contestants, field.predict]
    }
    return {**entries, OURS: Entry("tritonpose, draw_poses()", "ours")}


def _facts(field: Field, workload: Workload, plan: Plan) -> dict[str, object]:
    versions: dict[str, object] = {"ours": package_versions()}
    versions["triton"] = ask_server(Connection.from_options(field.server.grpc_url)).version
    versions["engine"] = field.engine.worker.call("facts")
    if field.paddlex is not None:
        versions["paddlex"] = field.paddlex.worker.call("facts")
    return {
        "machine": machine_facts(),
        "versions": versions,
        "models": asdict(field.choice.settings),
        "images": [_describe(shot, field.engine) for shot in workload.photos],
        "people_image": next((s.path.name for s in workload.persons.values()), None),
        "plan": asdict(plan),
    }


def _describe(shot: Shot, engine: Contestant) -> dict[str, object]:
    height, width = cv2.imread(str(shot.path)).shape[:2]
    return {
        "name": shot.path.name,
        "width": width,
        "height": height,
        "bytes": shot.path.stat().st_size,
        "persons": len(engine.answer(shot).boxes),
    }
