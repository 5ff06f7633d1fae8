"""Results for supervision, by the real library.

It is installed beside the environment, not into it: it and its dependencies are large, and older
versions bring an OpenCV package that clashes with ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from side_packages import side_packages

# supervision, and what `import supervision` needs beyond the environment of the tests.
PACKAGES = ("supervision==0.31.2", "pydeprecate==0.13.0", "scipy==1.15.3", "defusedxml==0.7.1")

PROGRAM = """
import numpy as np
import supervision as sv
from poses import made_up_result

result = made_up_result(3)
keypoints = result.to_supervision()
boxes = result["boxes"]
assert isinstance(keypoints, sv.KeyPoints) and len(keypoints) == 3
expected = np.array([box["keypoints"] for box in boxes])
assert keypoints.xy.dtype == keypoints.keypoint_confidence.dtype == np.float32
assert (keypoints.xy == expected[..., :2]).all()
assert (keypoints.keypoint_confidence == expected[..., 2]).all()
assert (keypoints.visible == (expected[..., 2] >= 0.1)).all() and not keypoints.visible.all()
assert (keypoints.detection_confidence == [np.float32(box["det_score"]) for box in boxes]).all()
assert keypoints.class_id.tolist() == [0, 0, 0]
assert keypoints["class_name"].tolist() == ["person"] * 3
assert (keypoints["xyxy"] == [box["coordinate"] for box in boxes]).all()
sure = keypoints[keypoints.detection_confidence > boxes[1]["det_score"] - 1e-6]
assert len(sure) == 2 and (sure["xyxy"] == keypoints["xyxy"][:2]).all()

image = result["input_img"]
drawn = sv.VertexAnnotator().annotate(image.copy(), keypoints)
drawn = sv.EdgeAnnotator().annotate(drawn, keypoints)
assert (drawn != image).any()
detections = keypoints.as_detections()
assert detections.confidence.tolist() == keypoints.detection_confidence.tolist()
assert (detections["xyxy"] == keypoints["xyxy"]).all()

nobody = made_up_result(0).to_supervision()
assert nobody.is_empty() and nobody.xy.shape == (0, 17, 2)
assert (sv.VertexAnnotator().annotate(image.copy(), nobody) == image).all()
assert len(nobody.as_detections()) == 0
assert len(sv.KeyPoints.merge([nobody, keypoints])) == 3
"""


@pytest.fixture(scope="session")
def library() -> Path:
    """A folder with supervision, kept for later test runs."""
    return side_packages(*PACKAGES)


def test_exported(library: Path) -> None:
    """Keypoints, what annotators and `as_detections` make of them, and those of nobody."""
    support = Path(__file__).resolve().parents[2] / "support"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (library, support)))}
    command = [sys.executable, "-W", "error::DeprecationWarning:tritonpose", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
