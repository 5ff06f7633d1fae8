"""Compare detecting people every now and then with detecting them in every frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from tools.evaluation.tracking.clips import Clip
from tools.evaluation.tracking.metrics import joint_similarity
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.tracking import TrackedResult
from tritonpose.tracking.plan import DetInterval

# Joints of less score are anywhere, however often people are detected.
_CLEAR = 0.3
# Of the videos: next to no loss.
_FINE = {"qmin": "1", "qmax": "3"}
_BIT_RATE = 40_000_000
CLOSE = 0.9
"""Similarity from which joints are at the same place."""


@dataclass(frozen=True, eq=False)
class Run:
    """A clip, tracked: what was shown, and what it took, in seconds per frame."""

    results: Sequence[TrackedResult]
    wall_s: float
    cpu_s: float


def compare_intervals(
    pipeline: HumanKeypointPipeline, clip: Clip, directory: Path
) -> dict[str, Any]:
    """Track a clip, as a video, with ``det_interval="auto"`` and with 1, in turn.

    ``close`` is the share of the joints of all people in all frames that are within OKS `CLOSE` of
    those with 1; people who are not shown count.
    """
    video = _write_video(clip, directory)
    # The first run warms everything up.
    _, every, seldom = (_track(pipeline, video, interval) for interval in ("auto", 1, "auto"))
    video.unlink()
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


def _write_video(clip: Clip, directory: Path) -> Path:
    """Encode a clip, with little loss."""
    path = directory / f"{clip.name}.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=round(clip.rate), options=_FINE)
        stream.pix_fmt, stream.bit_rate = "yuv420p", _BIT_RATE
        stream.width, stream.height = clip.size
        for image, _ in clip.frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def _track(pipeline: HumanKeypointPipeline, video: Path, interval: DetInterval) -> Run:
    began, cpu = time.perf_counter(), time.process_time()
    results = list(pipeline.track(str(video), det_interval=interval, smooth=False))
    seconds = time.perf_counter() - began, time.process_time() - cpu
    return Run(results, seconds[0] / len(results), seconds[1] / len(results))


def _similar_joints(one: TrackedResult, other: TrackedResult) -> list[npt.NDArray[np.float64]]:
    """Compute the similarity of the clear joints of each of the people with the likest ones."""
    found = []
    for box, keypoints in zip(one.arrays.boxes, one.arrays.keypoints, strict=True):
        area = float(np.prod(box[2:] - box[:2]))
        clear = keypoints[:, 2] >= _CLEAR
        others = other.arrays.keypoints[..., :2].astype(np.float64)
        candidates = joint_similarity(keypoints[:, :2], others, area)[:, clear]
        found.append(max(candidates, key=np.sum, default=np.zeros(int(clear.sum()))))
    return found
