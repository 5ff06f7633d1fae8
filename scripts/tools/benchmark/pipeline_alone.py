"""Measure the pipeline's own cost: real Triton, models that answer at once or wait."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from google.protobuf import text_format

from tools.benchmark.load import measure_rate
from tools.benchmark.workload import Plan, threshold_for
from tools.errors import ToolError
from tritonpose.config import PipelineConfig
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest
from tritonpose_pipeline.image import check_file
from tritonpose_pipeline.limits import ComputeSlots
from tritonpose_pipeline.photo import Photo
from tritonpose_pipeline.pipeline import estimate_poses
from tritonpose_pipeline.repository import CONFIG_FILE, ModelRepository, read_config
from tritonpose_pipeline.request import resolve_options
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.tuning import PipelineTuning, Tuning
from tritonpose_server.local.models import LocalModels
from tritonpose_server.local.options import LocalOptions
from tritonpose_server.models.choice import choose_models
from tritonpose_server.supervision.processes import cpu_seconds, service_processes

PIPELINE_ALONE = "pipeline"
"""The name of this measurement."""

_SIZE, _PEOPLE, _QUALITY = (640, 480), 3, 90
_WORKER = Path(__file__).parent / "subprocesses" / "recorded_model.py"

_AT_ONCE = (1, 2)
_IN_FLIGHT = 8

# So long that few cores do for the own work of many instances: with two models per image, four
# workers do 10 images per second.
_WAIT_S = 0.2
_WAITING, _WORKERS_PER_INSTANCE = (1, 2, 4, 8), 4


@dataclass(frozen=True)
class _Recording:
    """A photo with a threshold that finds the people, and what models answered, by their names."""

    file: bytes
    threshold: float
    models: tuple[Path, ...]
    settings: PipelineSettings
    answers: Mapping[str, Mapping[str, npt.NDArray[np.float32]]]


def measure_pipeline(
    config: PipelineConfig, images: Sequence[Path], plan: Plan, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Measure both; cases are by the number of the pipeline's instances."""
    recording = _record(config, images, progress)
    at_once, waiting = {}, {}
    for instances in _AT_ONCE:
        progress(f"measuring {instances} instances, models that answer at once")
        at_once[instances] = _measure(recording, plan, 0.0, PipelineTuning(instances=instances))
    for instances in _WAITING:
        progress(f"measuring {instances} instances, models that wait")
        workers = _WORKERS_PER_INSTANCE * instances
        tuning = PipelineTuning(workers=workers, threads=workers, instances=instances)
        waiting[instances] = _measure(recording, plan, _WAIT_S, tuning)
    return {"at_once": at_once, "waiting": waiting}


def pipeline_tables(report: Mapping[str, Any]) -> dict[str, list[list[str]]]:
    """Make the tables of what `measure_pipeline` returns: by title rows, the headings first."""
    roles = sorted({role for case in report["at_once"].values() for role in case["cpu_ms"]})
    one = report["waiting"][_WAITING[0]]["rate"]
    return {
        "The pipeline alone: models that answer at once, 640x480, 3 people, 8 in flight": [
            ["instances", "images/s", *(f"CPU ms per image: {role}" for role in roles)]
        ]
        + [
            [str(instances), f"{case['rate']:.1f}"]
            + [f"{case['cpu_ms'].get(role, 0):.2f}" for role in roles]
            for instances, case in report["at_once"].items()
        ],
        f"The pipeline alone: models that wait {_WAIT_S:g} s, 4 workers per instance": [
            ["instances", "images/s", "share of one instance's, each"]
        ]
        + [
            [str(instances), f"{case['rate']:.1f}", f"{case['rate'] / instances / one:.2f}"]
            for instances, case in report["waiting"].items()
        ],
    }


def _record(
    config: PipelineConfig, photos: Sequence[Path], progress: Callable[[str], None]
) -> _Recording:
    """Run the real models once on a photo that shows enough people."""
    choice = choose_models(config, progress)
    slots = ComputeSlots(1)
    roots = list(dict.fromkeys(model.parent for model in choice.models))
    models, repository = LocalModels(roots, LocalOptions.parse(), slots), ModelRepository(*roots)
    answers: dict[str, dict[str, npt.NDArray[np.float32]]] = {}

    def run(
        model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...]
    ) -> list[npt.NDArray[np.float32]]:
        with slots.acquire():
            found = models(model, images, outputs)
        answers[model] = dict(zip(outputs, found, strict=True))
        return found

    for path in photos:
        resized = cv2.resize(np.asarray(cv2.imread(str(path))), _SIZE, interpolation=cv2.INTER_AREA)
        file = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        photo = Photo(check_file(file))

        def options(threshold: float) -> Any:
            return resolve_options(choice.settings, repository, threshold, {})

        scores = estimate_poses(photo, options(0.0), run).det_scores
        threshold = threshold_for(scores, _PEOPLE)
        if threshold is not None:
            estimate_poses(photo, options(threshold), run)
            return _Recording(file, threshold, tuple(choice.models), choice.settings, answers)
    raise ToolError(f"none of the images shows {_PEOPLE} people clearly: name others (--images)")


def _measure(
    recording: _Recording, plan: Plan, wait_s: float, tuning: PipelineTuning
) -> dict[str, Any]:
    """Measure one number of instances: images per second, and milliseconds of CPU per image."""
    instances = tuning.instances or 1
    in_flight = 2 * _WORKERS_PER_INSTANCE * instances if wait_s else _IN_FLIGHT
    with tempfile.TemporaryDirectory() as work:
        models = [_stand_in(model, Path(work), recording, wait_s) for model in recording.models]
        options = ServerOptions(tuning=Tuning(pipeline=tuning))
        with EmbeddedServer(models, recording.settings, options) as server:
            transport = connect(server.grpc_url)

            def ask(_: None) -> None:
                request = InferRequest(image=recording.file, det_threshold=recording.threshold)
                found = len(transport.infer(request).boxes)
                if found != _PEOPLE:
                    raise ToolError(f"{found} people found instead of {_PEOPLE}")

            def round_of(count: int) -> tuple[float, dict[str, float]]:
                before = _cpu(server)
                rate = measure_rate(ask, [None], in_flight, in_flight, count)
                used = {
                    role: (seconds - before[role]) / rate.images * 1000
                    for role, seconds in _cpu(server).items()
                }
                return rate.per_second, used

            first, _ = round_of(4 * in_flight)
            count = max(int(first * plan.rate_seconds), in_flight)
            rounds = [round_of(count) for _ in range(plan.rounds)]
            transport.close()
    return {
        "rate": statistics.median(rate for rate, _ in rounds),
        "cpu_ms": {
            role: statistics.median(used[role] for _, used in rounds) for role in rounds[0][1]
        },
        "rounds": rounds,
    }


def _cpu(server: EmbeddedServer) -> dict[str, float]:
    """Read the processor time so far of the server's processes by their roles, and of this one."""
    used: dict[str, float] = defaultdict(float, client=time.process_time())
    for process in service_processes(server.pid or 0):
        used[process.role] += cpu_seconds(process.pid)
    return used


def _stand_in(model: Path, work: Path, recording: _Recording, wait_s: float) -> Path:
    """Make a model of the same configuration that gives recorded answers."""
    config = read_config(model / CONFIG_FILE)
    config.backend, config.default_model_filename = "python", "model.py"
    config.ClearField("dynamic_batching")
    config.parameters["wait_s"].string_value = str(wait_s)
    version = work / model.name / "1"
    version.mkdir(parents=True)
    shutil.copy2(_WORKER, version / "model.py")
    np.savez(version / "answers.npz", **dict(recording.answers[model.name]))
    (version.parent / CONFIG_FILE).write_text(text_format.MessageToString(config), "utf-8")
    return version.parent
