"""Drawing compared, with a stand-in for PaddleX that draws as we do, or wrongly."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from poses import people
from tools.benchmark.contestants.in_process import InProcessContestant
from tools.benchmark.measure.rendering import OURS, Scene, measure_rendering
from tools.benchmark.plan import QUICK
from tools.benchmark.workers.process import WorkerProcess
from tools.errors import BenchmarkError

WORKER = """
import cv2
import numpy as np
from tritonpose.drawing.poses import draw_poses

class Worker:
    def __init__(self, wrong_pixels):
        self.wrong_pixels = wrong_pixels
    def draw(self, image, keypoints, repeat, target):
        picture = draw_poses(cv2.imread(image), np.array(keypoints, np.float32))
        picture[0, : self.wrong_pixels] ^= 1
        np.save(target, picture)
        return [0.5] * repeat

def open_worker(wrong_pixels):
    return Worker(int(wrong_pixels))
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    return Scene(tmp_path / "image.png", people(9).keypoints)


def drawer(directory: Path, wrong_pixels: int) -> InProcessContestant:
    file = directory / "worker.py"
    file.write_text(WORKER)
    worker = WorkerProcess("it", [sys.executable], file, [str(wrong_pixels)])
    return InProcessContestant("paddlex", "PaddleX", "rival", parallel=False, worker=worker)


def test_equal_pixels(tmp_path: Path, scene: Scene) -> None:
    contestant = drawer(tmp_path, 0)
    found = measure_rendering(contestant, scene, replace(QUICK, rounds=3, repeats=2))
    contestant.close()
    (case,) = found.cases
    assert case.label == "9 people, 500x400"
    assert case.series["paddlex"].rounds == (500, 500, 500)
    assert len(case.series[OURS].rounds) == 3
    ratio = found.ratio(case, *found.pairs[0])
    assert ratio is not None
    assert ratio.value == pytest.approx(500 / np.median(case.series[OURS].rounds))


def test_other_pixels_are_refused(tmp_path: Path, scene: Scene) -> None:
    contestant = drawer(tmp_path, 7)
    with pytest.raises(BenchmarkError, match=r"image\.png differs from ours in 7 pixels"):
        measure_rendering(contestant, scene, QUICK)
    contestant.close()
