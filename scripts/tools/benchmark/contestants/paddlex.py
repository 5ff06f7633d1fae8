"""PaddleX: its pipeline in process, as it comes and at its fastest, and its basic serving."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.benchmark.contestants.in_process import InProcessContestant
from tools.benchmark.contestants.rest import RestContestant
from tools.benchmark.http_service import HttpService
from tools.benchmark.paddlex_config import with_threads
from tools.benchmark.shots import Shot
from tools.benchmark.workers.process import WorkerProcess
from tritonpose_server.models.store import cache_home

_WORKER = Path(__file__).parents[1] / "workers" / "paddlex_pipeline.py"
_TRIAL_PASSES = 3


def paddlex_defaults(python: Path, content: dict[str, Any]) -> InProcessContestant:
    """PaddleX's pipeline as it comes.

    Args:
        python: Python of PaddleX's environment.
        content: See `paddlex_config`.
    """
    worker = _start(python, {"config": content, "device": "cpu"})
    return InProcessContestant(
        "paddlex", "PaddleX, defaults", "rival", parallel=False, worker=worker
    )


def paddlex_with_threads(
    python: Path, content: dict[str, Any], threads: int
) -> InProcessContestant:
    """PaddleX's pipeline with so many threads; see `paddlex_defaults`."""
    label = f"PaddleX, {threads} thread{'s' if threads > 1 else ''}"
    worker = _start(python, {"config": with_threads(content, threads), "device": "cpu"})
    return InProcessContestant("paddlex_fastest", label, "rival", parallel=False, worker=worker)


def paddlex_serving(python: Path, content: dict[str, Any], threads: int) -> RestContestant:
    """PaddleX's basic serving, with so many threads."""

    def command(directory: Path, port: int) -> Sequence[str]:
        pipeline = directory / "pipeline.yaml"
        pipeline.write_text(yaml.safe_dump(with_threads(content, threads)), "utf-8")
        serve = (str(python), "-I", "-m", "paddlex", "--serve", "--pipeline", str(pipeline))
        return [*serve, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]

    service = HttpService("PaddleX's basic serving", command, _variables())
    return RestContestant("paddlex_serving", "PaddleX serving, REST", "rival", service)


def find_fastest_threads(
    python: Path, content: dict[str, Any], shots: Sequence[Shot], progress: Callable[[str], None]
) -> int:
    """Try PaddleX's pipeline with 1, 2, 4, ... threads, up to one per core.

    Args:
        python: Python of PaddleX's environment.
        content: See `paddlex_config`.
        shots: What to try it on.
        progress: Called with lines for the user.

    Returns:
        The number of threads with the least median time.
    """
    medians = {}
    for threads in thread_candidates(len(os.sched_getaffinity(0))):
        contestant = paddlex_with_threads(python, content, threads)
        try:
            contestant.time_each(shots)
            medians[threads] = statistics.median(contestant.time_each([*shots] * _TRIAL_PASSES))
        finally:
            contestant.close()
        progress(f"{contestant.label}: {medians[threads] * 1000:.0f} ms per image")
    return min(medians, key=lambda threads: medians[threads])


def thread_candidates(cores: int) -> list[int]:
    """1, 2, 4, ... and the number of cores."""
    powers = [2**exponent for exponent in range(cores.bit_length()) if 2**exponent < cores]
    return [*powers, cores]


def _start(python: Path, arguments: Mapping[str, object]) -> WorkerProcess:
    command = [str(python), "-I"]
    return WorkerProcess("PaddleX", command, _WORKER, [json.dumps(arguments)], _variables())


def _variables() -> dict[str, str]:
    """Keeps PaddleX's own files within our cache."""
    return {"PADDLE_PDX_CACHE_HOME": str(cache_home() / "paddlex")}
