"""Compare detecting people every now and then with detecting them in every frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tools.evaluation.tracking.metrics import joint_similarity
from tools.evaluation.tracking.recording import Recording
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.tracking import TrackedResult

Interval = int | Literal["auto"]

# Joints of less score are anywhere, however often people are detected.
_CLEAR = 0.3
CLOSE = 0.9
"""Similarity from which joints are at the same place."""


@dataclass(frozen=True, eq=False)
class Run:
    """A clip, tracked: what was shown, and what it took, in seconds per frame."""

    results: Sequence[TrackedResult]
    wall_s: float
    cpu_s: float


def compare_intervals(pipeline: HumanKeypointPipeline, recording: Recording) -> dict[str, Any]:
    """Track a clip with ``det_interval="auto"`` and with 1, in turn.

    ``close`` is the share of the joints of all people in all frames that are within OKS `CLOSE` of
    those with 1; people who are not shown count.
    """
    every, seldom = (_track(pipeline, recording, interval) for interval in (1, "auto"))
    similar = [
        joints
        for one, other in zip(every.results, seldom.results, strict=True)
        for joints in _similar_joints(one, other)
    ]
    joints = np.concatenate([np.zeros(0), *similar])
    return {
        "close": float((joints >= CLOSE).mean()) if joints.size else None,
        "joints": joints.size,
        "every": {"frames_per_s": 1 / every.wall_s, "cpu_ms": 1000 * every.cpu_s},
        "auto": {"frames_per_s": 1 / seldom.wall_s, "cpu_ms": 1000 * seldom.cpu_s},
    }


def _track(pipeline: HumanKeypointPipeline, recording: Recording, interval: Interval) -> Run:
    frames = np.load(recording.frames, mmap_mode="r")
    source = zip(map(np.array, frames), recording.clip.times, strict=True)
    began, cpu = time.perf_counter(), time.process_time()
    options: dict[str, Any] = {"det_interval": interval, "smooth": False}
    results = list(pipeline.track(source, **options))
    seconds = time.perf_counter() - began, time.process_time() - cpu
    return Run(results, seconds[0] / len(results), seconds[1] / len(results))


def _similar_joints(one: TrackedResult, other: TrackedResult) -> list[npt.NDArray[np.float64]]:
    """Compute the similarity of the clear joints of each of the people with the likest ones."""
    found = []
    for box, keypoints in zip(one.arrays.boxes, one.arrays.keypoints, strict=True):
        area = float(np.prod(box[2:] - box[:2]))
        clear = keypoints[:, 2] >= _CLEAR
        candidates = [
            joint_similarity(keypoints[:, :2], each[:, :2], area)[clear]
            for each in other.arrays.keypoints
        ]
        found.append(max(candidates, key=np.sum, default=np.zeros(int(clear.sum()))))
    return found
