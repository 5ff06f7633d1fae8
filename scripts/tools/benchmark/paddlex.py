"""PaddleX as a contestant: its environment, its configuration, in process and serving."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tools.benchmark.contestants import Contestant, InProcessContestant, RestContestant
from tools.benchmark.worker import Worker
from tools.benchmark.workload import Sample
from tools.errors import ToolError
from tritonpose.config import PIPELINE_NAME, ModuleConfig, PipelineConfig
from tritonpose_server.models.catalog import OPEN_MODELS
from tritonpose_server.models.home import cache_home
from tritonpose_server.models.paddle.inference_yml import read_inference_yml
from tritonpose_server.models.paddle.tool_environment import ToolEnvironment

_ENVIRONMENT = ToolEnvironment(
    name="paddlex",
    purpose="the environment for PaddleX",
    requirements=Path(__file__).with_name("paddlex_requirements.txt"),
    imports=("paddle", "paddlex", "cv2", "fastapi", "uvicorn"),
    libraries=("libgomp1", "libgl1", "libglib2.0-0"),
    size="it downloads 500 MB and takes 1.7 GB",
    pythons="Python 3.10 to 3.12 on Linux x86_64",
    without_network="leave out --paddlex",
)
_TRIAL_PASSES = 3


def start_paddlex(
    config: PipelineConfig,
    trial: Sequence[Sample],
    progress: Callable[[str], None],
    enter: Callable[[Contestant], Contestant],
) -> tuple[Contestant, ...]:
    """Start PaddleX: in process with its defaults and at its fastest, and its basic serving.

    ``enter`` is called with each contestant once it runs, to close it later; ``trial`` are images
    to find the fastest number of threads with.
    """
    content = paddlex_config(config)
    python = _ENVIRONMENT.ensure(progress)
    progress("looking for PaddleX's fastest setting")
    threads = _find_fastest_threads(python, content, trial, progress)
    progress("starting PaddleX: in process with its defaults and at its fastest, and its serving")
    return (
        enter(_in_process(python, "paddlex", "PaddleX, defaults", content)),
        enter(_with_threads(python, content, threads)),
        enter(_serving(python, with_threads(content, threads))),
    )


def check_same_models(config: PipelineConfig, models: Sequence[Path]) -> None:
    """Refuse to compare with PaddleX where open models replace its own."""
    for module, model in zip((config.detector, config.keypoint), models, strict=True):
        if module.model_dir is None and model.name in OPEN_MODELS:
            raise ToolError(
                f"PaddleX can't run the open model {model.name}: to compare with PaddleX, name "
                "directories of Paddle models by --detector and --keypoint_model or in a "
                "--pipeline file"
            )


def paddlex_config(config: PipelineConfig) -> dict[str, Any]:
    """Build a PaddleX pipeline file's content; what a pipeline leaves open is left to PaddleX."""
    detector, keypoint = config.detector, config.keypoint
    detection: dict[str, Any] = {
        "module_name": "object_detection",
        **_model(detector, "PP-YOLOE-S_human"),
        "threshold": detector.threshold,
    }
    if detector.img_size is not None:
        # The key that PaddleX's code reads, unlike `img_size`.
        detection["imgsz"] = list(detector.img_size)
    keypoints = {
        "module_name": "keypoint_detection",
        **_model(keypoint, "PP-TinyPose_128x96"),
        "flip": bool(keypoint.flip),
        "use_udp": keypoint.use_udp,
    }
    modules = {"ObjectDetection": detection, "KeypointDetection": keypoints}
    return {"pipeline_name": PIPELINE_NAME, "SubModules": modules}


def with_threads(content: dict[str, Any], threads: int) -> dict[str, Any]:
    """Set the number of threads in a PaddleX pipeline file's content."""
    return {**content, "engine": "paddle_static", "engine_config": {"cpu_threads": threads}}


def thread_candidates(cores: int) -> list[int]:
    """List 1, 2, 4, ... and the number of cores."""
    powers = [2**exponent for exponent in range(cores.bit_length()) if 2**exponent < cores]
    return [*powers, cores]


def _model(module: ModuleConfig, default: str) -> dict[str, Any]:
    """Name a model and its directory; PaddleX expects the name inside the directory."""
    name = module.model_name
    if name is None and module.model_dir is not None:
        name = read_inference_yml(module.model_dir / "inference.yml").model_name
    return {
        "model_name": name or default,
        "model_dir": None if module.model_dir is None else str(module.model_dir),
        "batch_size": module.batch_size or 1,
    }


def _find_fastest_threads(
    python: Path,
    content: dict[str, Any],
    samples: Sequence[Sample],
    progress: Callable[[str], None],
) -> int:
    """Find the number of threads, up to one per core, with the least median time per image."""
    medians = {}
    for threads in thread_candidates(len(os.sched_getaffinity(0))):
        contestant = _with_threads(python, content, threads)
        try:
            contestant.time_each(samples)
            medians[threads] = statistics.median(contestant.time_each([*samples] * _TRIAL_PASSES))
        finally:
            contestant.close()
        progress(f"{contestant.label}: {medians[threads] * 1000:.0f} ms per image")
    return min(medians, key=lambda threads: medians[threads])


def _with_threads(python: Path, content: dict[str, Any], threads: int) -> InProcessContestant:
    label = f"PaddleX, {threads} thread{'s' if threads > 1 else ''}"
    return _in_process(python, "paddlex_fastest", label, with_threads(content, threads))


def _in_process(python: Path, key: str, label: str, content: dict[str, Any]) -> InProcessContestant:
    arguments = [json.dumps({"config": content, "device": "cpu"})]
    isolated = [str(python), "-I"]
    start = partial(Worker, "PaddleX", isolated, "paddlex_pipeline.py", arguments, _variables())
    return InProcessContestant(key, label, "rival", parallel=False, start=start)


def _serving(python: Path, content: dict[str, Any]) -> RestContestant:
    # Read until it is ready.
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as pipeline:
        yaml.safe_dump(content, pipeline)
        pipeline.flush()
        command = [
            *(str(python), "-I", "-m", "paddlex", "--serve", "--pipeline", pipeline.name),
            *("--device", "cpu", "--host", "127.0.0.1"),
        ]
        return RestContestant(
            "paddlex_serving", "PaddleX serving, REST", "rival", command, _variables()
        )


def _variables() -> dict[str, str]:
    """Keep PaddleX's own files within our cache."""
    return {"PADDLE_PDX_CACHE_HOME": str(cache_home() / "paddlex")}
