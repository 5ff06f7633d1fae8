"""Drawing people into an image: PaddleX's function against ours, on the same pixels."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tools.benchmark.contestants.in_process import InProcessContestant
from tools.benchmark.plan import Plan
from tools.benchmark.results import Case, Measurement, Series, percentile
from tools.errors import BenchmarkError
from tritonpose.drawing.poses import draw_poses

OURS = "render"


@dataclass(frozen=True, eq=False)
class Scene:
    """People to draw.

    Attributes:
        path: The image.
        keypoints: float32 ``[N, 17, 3]``, x, y in pixels, score.
    """

    path: Path
    keypoints: npt.NDArray[np.float32]


def measure_rendering(paddlex: InProcessContestant, scene: Scene, plan: Plan) -> Measurement:
    """Time both functions in turns.

    Raises:
        BenchmarkError: Their pictures differ.
    """
    image = np.asarray(cv2.imread(str(scene.path)), np.uint8)
    theirs: list[list[float]] = []
    ours: list[list[float]] = []
    with tempfile.TemporaryDirectory() as work:
        picture = Path(work, "picture.npy")
        for _ in range(plan.rounds):
            theirs.append(
                paddlex.worker.call(
                    "draw",
                    image=str(scene.path),
                    keypoints=scene.keypoints.tolist(),
                    repeat=plan.repeats,
                    target=str(picture),
                )
            )
            ours.append(_time_ours(image, scene.keypoints, plan.repeats))
        expected = np.load(picture)
    differing = int((expected != draw_poses(image, scene.keypoints)).any(axis=2).sum())
    if differing:
        raise BenchmarkError(
            f"PaddleX's drawing of {scene.path.name} differs from ours in {differing} pixels"
        )
    height, width = image.shape[:2]
    label = f"{len(scene.keypoints)} people, {width}x{height}"
    series = {
        key: Series.of_samples(
            [[second * 1000 for second in seconds] for seconds in rounds], percentile(50)
        )
        for key, rounds in ((paddlex.key, theirs), (OURS, ours))
    }
    return Measurement(
        name="rendering",
        title="Drawing people into an image, ms (equal pixels)",
        unit="ms",
        better="lower",
        cases=(Case(label, series),),
        headline=label,
        summary=f"Drawing {label}",
        pairs=((OURS, paddlex.key),),
    )


def _time_ours(
    image: npt.NDArray[np.uint8], keypoints: npt.NDArray[np.float32], repeat: int
) -> list[float]:
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        draw_poses(image, keypoints)
        seconds.append(time.perf_counter() - began)
    return seconds
