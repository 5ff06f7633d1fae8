"""Pictures of every format and orientation come out as from PaddleX's OpenCV, on any OpenCV."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import decoding_matrix
from decoding_matrix import TURNED, MatrixFile

ORIENTED = dict(decoding_matrix.oriented_files()) | dict(decoding_matrix.odd_exif_files())

# The oldest allowed, PaddleX's, the server's newest, and later ones that turn other files.
VERSIONS = ("4.8.0.76", "4.10.0.84", "4.11.0.86", "4.12.0.88", "4.13.0.92", "5.0.0.93")
ASKED = os.environ.get("TRITONPOSE_TEST_OPENCV")


@pytest.mark.parametrize("file", ORIENTED.values(), ids=ORIENTED)
def test_orientations(file: MatrixFile) -> None:
    assert file.orientation is not None
    expected = TURNED[file.orientation]
    pixels = decoding_matrix.decoded(file.data)
    assert pixels is not None
    assert pixels.shape == expected.shape
    # JPEG is lossy.
    tolerance = 6 if file.data.startswith(b"\xff\xd8") else 0
    np.testing.assert_allclose(pixels.astype(int), expected, atol=tolerance)


def test_each_kind_of_colors_is_decoded() -> None:
    refused = [
        name
        for name, data in decoding_matrix.colored_files()
        if decoding_matrix.decoded(data) is None
    ]
    assert refused == []


@pytest.mark.skipif(
    tuple(map(int, cv2.__version__.split(".")[:2])) > (4, 11),
    reason="later versions of OpenCV than PaddleX's turn other files",
)
@pytest.mark.parametrize("file", ORIENTED.values(), ids=ORIENTED)
def test_the_expected_orientations_are_opencv_4_10_s(file: MatrixFile) -> None:
    pixels = cv2.imdecode(np.frombuffer(file.data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoding_matrix.decoded(file.data), pixels)


@pytest.mark.skipif(
    ASKED is None, reason="set TRITONPOSE_TEST_OPENCV to 1, or to versions, to install them"
)
@pytest.mark.parametrize("version", (ASKED or "").split() if ASKED != "1" else VERSIONS)
def test_all_versions_of_opencv_give_the_same_pixels(version: str, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path]
    subprocess.run([*pip, f"opencv-python-headless=={version}"], check=True)
    path = os.pathsep.join([str(tmp_path), str(Path(decoding_matrix.__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-m", "decoding_matrix"],
        env=os.environ | {"PYTHONPATH": path, "OPENCV_LOG_LEVEL": "OFF"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert version.startswith(found.pop("version"))
    expected = decoding_matrix.digests()
    assert {name for name in expected if found[name] != expected[name]} == set()
