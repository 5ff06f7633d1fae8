"""Measure several cameras at once, of which one dies again and again."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tools.benchmark.machine import process_tree, resident_bytes
from tools.benchmark.scene import write_scene
from tools.benchmark.subprocesses import camera
from tritonpose import create_pipeline
from tritonpose.config import PIPELINE_NAME, PipelineConfig
from tritonpose.inputs.sources import FrameSource, open_source
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.tracking import TrackedResult
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import choose_models
from tritonpose_server.python_programs import isolated_python
from tritonpose_server.supervision.processes import cpu_seconds

CAMERAS = 8
RATE = 15.0
GOAL_MS = 150.0
SECONDS = 300.0
QUICK_SECONDS = 12.0

_KILL_EVERY_S = 10.0
_DOWN_S = 2.0
# Until all cameras are connected and models are warm.
_WARM_UP_S = 4.0
_TRIAL_S = 30.0
_FEWER = (6, 4, 3, 2, 1)


@dataclass
class Run:
    """What was seen of some cameras at once.

    Attributes:
        seconds: How long it was measured.
        delays: Of each camera, milliseconds from a frame's sending to its result.
        near_kills: The same, of the cameras that live, within the seconds after a kill.
        people: How many people each result has.
        kills: How often a camera was killed.
        cpu_ms: By what works, milliseconds of CPU for each result.
        memory: Bytes of this process and the server, every second.
        dropped: Of each camera, frames that came too early for their turn.
        reconnects: Of each camera.
    """

    seconds: float = 0.0
    delays: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    near_kills: list[float] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    kills: int = 0
    cpu_ms: dict[str, float] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    reconnects: list[int] = field(default_factory=list)

    @property
    def p95(self) -> float:
        """Of all cameras together."""
        return percentile([delay for each in self.delays.values() for delay in each], 95)

    def reaches_goal(self) -> bool:
        """Whether frames come in time, and nearly all of them."""
        # Also of cameras that gave nothing.
        lives = [self.delays[each] for each in range(len(self.dropped)) if each or not self.kills]
        rates = [len(delays) / self.seconds for delays in lives]
        return self.p95 <= GOAL_MS and min(rates, default=0.0) >= 0.95 * RATE

    def as_json(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "cameras": len(self.dropped),
            "seconds": round(self.seconds, 1),
            "reaches_goal": self.reaches_goal(),
            "p50_ms": percentile([d for each in self.delays.values() for d in each], 50),
            "p95_ms": self.p95,
            "p95_after_kills_ms": percentile(self.near_kills, 95),
            "each": [
                {
                    "frames_per_second": len(self.delays[index]) / self.seconds,
                    "p50_ms": percentile(self.delays[index], 50),
                    "p95_ms": percentile(self.delays[index], 95),
                    "dropped": dropped,
                    "reconnects": reconnects,
                }
                for index, (dropped, reconnects) in enumerate(
                    zip(self.dropped, self.reconnects, strict=True)
                )
            ],
            "people": statistics.fmean(self.people) if self.people else 0.0,
            "kills": self.kills,
            "cpu_ms_per_result": self.cpu_ms,
            "memory_bytes": self.memory,
        }


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile; not a number where there are no values."""
    return float(np.percentile(values, share)) if values else float("nan")


def measure_cameras(
    config: PipelineConfig, photo: Path, progress: Callable[[str], None], *, quick: bool
) -> list[dict[str, Any]]:
    """Measure the wanted number of cameras; where that is too many, fewer, until it works."""
    choice = choose_models(config, progress)
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(choice.models, choice.settings))
        pipeline = stack.enter_context(create_pipeline(PIPELINE_NAME, url=server.grpc_url))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        frames = work / "frames"
        frames.mkdir()
        image = cv2.imread(str(photo))
        (found,) = pipeline.predict(image)
        write_scene(np.asarray(image, np.uint8), found, frames)
        roots = [] if server.pid is None else [server.pid]
        runs = []
        for count in (CAMERAS, *_FEWER):
            seconds = SECONDS if count == CAMERAS else _TRIAL_S
            seconds = QUICK_SECONDS if quick else seconds
            progress(f"measuring {count} cameras for {seconds:g} s")
            logs = work / str(count)
            logs.mkdir()
            run = _measure(pipeline, roots, frames, logs, count, seconds)
            runs.append(run.as_json())
            if run.reaches_goal() or quick:
                break
        return runs


class _Camera:
    """A camera's process, which can be killed and started again."""

    def __init__(self, frames: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = log
        self._frames = frames
        self.spent = 0.0
        self.start()

    def start(self) -> None:
        program = [*isolated_python(), camera.__file__]
        arguments = [str(self.port), str(RATE), str(self._frames), str(self.log)]
        self._process = subprocess.Popen([*program, *arguments])

    def kill(self) -> None:
        self.spent += cpu_seconds(self._process.pid)
        self._process.kill()
        self._process.wait()

    def cpu(self) -> float:
        return self.spent + (cpu_seconds(self._process.pid) if self._process.poll() is None else 0)

    def sent(self) -> dict[int, list[float]]:
        """Return when each frame was sent, by its number."""
        times: dict[int, list[float]] = defaultdict(list)
        data = self.log.read_bytes() if self.log.exists() else b""
        for number, sent in camera.SENT.iter_unpack(data[: len(data) // 12 * 12]):
            times[number].append(sent)
        return times


@contextmanager
def _cameras(frames: Path, logs: Path, count: int) -> Iterator[list[_Camera]]:
    cameras = [_Camera(frames, logs / str(index)) for index in range(count)]
    try:
        yield cameras
    finally:
        for each in cameras:
            each.kill()


def _measure(
    pipeline: HumanKeypointPipeline,
    roots: list[int],
    frames: Path,
    logs: Path,
    count: int,
    seconds: float,
) -> Run:
    run = Run()
    results: list[tuple[int, int, float]] = []
    kills: list[float] = []
    ended = threading.Event()
    numbers = {file.read_bytes(): n for n, file in enumerate(sorted(frames.iterdir()))}
    with _cameras(frames, logs, count) as cameras:
        sources = [open_source(f"http://127.0.0.1:{each.port}/", patient=True) for each in cameras]
        tracked = pipeline.track(sources, det_interval="auto", on_error="collect")
        first = time.monotonic() + _WARM_UP_S
        tasks = [
            threading.Thread(target=_kill_again, args=(cameras[0], first, kills, ended)),
            threading.Thread(target=_watch_memory, args=(roots, first, run.memory, ended)),
        ]
        if count == 1:
            tasks.pop(0)
        for task in tasks:
            task.start()
        try:
            before, before_dropped, began = _take(
                tracked, first, results, run, lambda: _cpu(roots, cameras), sources, numbers
            )
            run.people.clear()
            kept = len(results)
            _take(tracked, began + seconds, results, run, dict, sources, numbers)
            run.seconds = time.monotonic() - began
            after = _cpu(roots, cameras)
        finally:
            ended.set()
            for task in tasks:
                task.join()
            tracked.close()
        sent = [each.sent() for each in cameras]
    run.kills = len(kills)
    run.dropped = [s.dropped - b for s, b in zip(sources, before_dropped, strict=True)]
    run.reconnects = [source.reconnects for source in sources]
    for index, number, came in results[kept:]:
        times = sent[index].get(number, [])
        place = bisect_right(times, came)
        if place:
            delay = 1000 * (came - times[place - 1])
            run.delays[index].append(delay)
            if index != 0 and any(0 <= came - kill < _DOWN_S for kill in kills):
                run.near_kills.append(delay)
    done = max(1, len(results) - kept)
    run.cpu_ms = {name: 1000 * (after[name] - before[name]) / done for name in after}
    return run


def _take(
    tracked: Iterator[TrackedResult],
    until: float,
    results: list[tuple[int, int, float]],
    run: Run,
    usage: Callable[[], dict[str, float]],
    sources: Sequence[FrameSource],
    numbers: Mapping[bytes, int],
) -> tuple[dict[str, float], list[int], float]:
    """Take results until a time; return the use of the CPU then, dropped frames, and the time."""
    for result in tracked:
        came = time.monotonic()
        image = result.held_image()
        if result.error is None and isinstance(image, bytes):
            results.append((result.source_index, numbers[image], came))
            run.people.append(len(result.arrays.boxes))
        if came > until:
            break
    return usage(), [source.dropped for source in sources], time.monotonic()


def _cpu(roots: list[int], cameras: Sequence[_Camera]) -> dict[str, float]:
    """Return the seconds of CPU used so far."""
    return {
        "server": sum(map(cpu_seconds, process_tree(roots))),
        "client: decoding, tracking": time.process_time(),
        "cameras": sum(each.cpu() for each in cameras),
    }


def _kill_again(victim: _Camera, first: float, kills: list[float], ended: threading.Event) -> None:
    """Kill a camera every few seconds, and start it again after some."""
    ended.wait(first - time.monotonic())
    while not ended.wait(_KILL_EVERY_S - _DOWN_S):
        victim.kill()
        kills.append(time.monotonic())
        ended.wait(_DOWN_S)
        victim.start()


def _watch_memory(
    roots: list[int], first: float, memory: list[int], ended: threading.Event
) -> None:
    ended.wait(first - time.monotonic())
    while not ended.wait(5.0 if memory else 0.0):
        memory.append(resident_bytes([os.getpid()]) + resident_bytes(roots))


def cameras_text(runs: Sequence[dict[str, Any]]) -> str:
    """Say what was found, one run after the other."""
    lines = []
    for run in runs:
        verdict = "reached" if run["reaches_goal"] else "NOT reached"
        lines.append(
            f"{run['cameras']} cameras at {RATE:g} frames/s, {run['people']:.1f} people each, "
            f"{run['seconds']:.0f} s: p50 {run['p50_ms']:.0f} ms, p95 {run['p95_ms']:.0f} ms; "
            f"goal (p95 <= {GOAL_MS:g} ms, all frames): {verdict}"
        )
        for index, each in enumerate(run["each"]):
            killed = f", killed {run['kills']} times" if index == 0 and run["kills"] else ""
            lines.append(
                f"  camera {index}: {each['frames_per_second']:.1f} frames/s, p50 "
                f"{each['p50_ms']:.0f} ms, p95 {each['p95_ms']:.0f} ms, dropped "
                f"{each['dropped']}, reconnected {each['reconnects']}{killed}"
            )
        if run["kills"]:
            lines.append(
                f"  the others within {_DOWN_S:g} s of a kill: p95 "
                f"{run['p95_after_kills_ms']:.0f} ms"
            )
        used = [f"{name} {spent:.1f} ms" for name, spent in run["cpu_ms_per_result"].items()]
        lines.append(f"  CPU for each result: {', '.join(used)}")
        if memory := run["memory_bytes"]:
            shown = memory[:: max(1, len(memory) // 10)]
            sizes = " ".join(f"{value / 2**20:.0f}" for value in shown)
            lines.append(f"  memory over time, MiB (client and server): {sizes}")
    return "\n".join(lines)
