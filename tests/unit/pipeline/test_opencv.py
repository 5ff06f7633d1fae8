"""OpenCV's settings, whichever its version."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from tritonpose_pipeline.opencv import set_up_opencv

DAMAGED = """
import cv2, numpy as np
from tritonpose_pipeline.opencv import set_up_opencv

set_up_opencv()
png = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1]
assert cv2.imdecode(png[:60], cv2.IMREAD_COLOR) is None
"""


def test_nothing_is_logged() -> None:
    done = subprocess.run([sys.executable, "-c", DAMAGED], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_opencv_5() -> None:
    levels: list[int] = []
    threads: list[int] = []
    log = SimpleNamespace(setLogLevel=levels.append)
    opencv = SimpleNamespace(setNumThreads=threads.append, utils=SimpleNamespace(logging=log))
    set_up_opencv(opencv)
    assert (threads, levels) == ([1], [0])
