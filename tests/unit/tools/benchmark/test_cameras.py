"""The benchmark of cameras: the scene tells its frames, the camera when it sent them."""

from pathlib import Path

import cv2
import numpy as np

from tools.benchmark.cameras import RATE, Run, cameras_text
from tools.benchmark.scene import COUNT, write_scene
from tritonpose import KeypointResult
from tritonpose.transport.messages import PoseResponse


def test_frames_can_be_told_apart(tmp_path: Path) -> None:
    photo = np.full((720, 1280, 3), 90, np.uint8)
    people = PoseResponse(
        np.array([[100, 50, 300, 650]], np.float32),
        np.ones(1, np.float32),
        np.zeros((1, 17, 3), np.float32),
        np.ones(1, np.float32),
    )
    write_scene(photo, KeypointResult(None, photo, people), tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == COUNT
    # The benchmark knows a frame by the bytes that its camera sent.
    assert len({file.read_bytes() for file in files}) == COUNT
    assert np.asarray(cv2.imread(str(files[0]))).shape == (360, 640, 3)


def test_the_goal_counts_frames_as_well_as_delays() -> None:
    run = Run(seconds=10.0, dropped=[0, 0], reconnects=[0, 0], people=[3])
    for index in (0, 1):
        run.delays[index] = [100.0] * round(10 * RATE)
    assert run.reaches_goal()
    assert "p95 100 ms; goal (p95 <= 150 ms, all frames): reached" in cameras_text([run.as_json()])
    run.delays[1] = [100.0] * 10
    assert not run.reaches_goal()
    run.delays[1] = [200.0] * round(10 * RATE)
    assert not run.reaches_goal()
    # It gave nothing at all.
    del run.delays[1]
    assert not run.reaches_goal()
    # The camera that is killed counts only where none is.
    run = Run(seconds=10.0, dropped=[0, 0], kills=1)
    run.delays[1] = [100.0] * round(10 * RATE)
    assert run.reaches_goal()
