"""Files made by hand: refused because of their headers, or read as OpenCV reads them."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from tools.soak.hostile import HostileFile, bombs, refused_files, truncations, unusual_files
from tools.soak.mutations import PIXELS
from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.image import check_file, decode_image
from tritonpose_pipeline.limits import Limits

LIMITS = Limits(workers=1)


@pytest.mark.parametrize("file", refused_files(PIXELS), ids=lambda file: file.name)
def test_refused(file: HostileFile) -> None:
    with pytest.raises(BadRequestError):
        decode_image(check_file(file.data, LIMITS))


@pytest.mark.parametrize("file", unusual_files(PIXELS), ids=lambda file: file.name)
def test_unusual_files_are_read_as_opencv_reads_them(file: HostileFile) -> None:
    checked = check_file(file.data, LIMITS)
    image = decode_image(checked)
    assert sorted(image.shape[:2]) == sorted(checked.header[:2])
    expected = cv2.imdecode(np.frombuffer(file.data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image, expected)


def shape_of(data: bytes) -> tuple[int, ...] | str:
    try:
        return decode_image(check_file(data, LIMITS)).shape
    except BadRequestError as error:
        return str(error)


def test_files_that_break_off() -> None:
    for name, data in truncations(PIXELS):
        found = shape_of(data)
        assert found == (48, 64, 3) or str(found).startswith("`image` "), name


MEASURE = """
import re, sys
from pathlib import Path
from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.image import check_file
from tritonpose_pipeline.limits import Limits

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

data, before = sys.stdin.buffer.read(), peak()
try:
    check_file(data, Limits(workers=1))
except BadRequestError as error:
    print(peak() - before, error)
"""


@pytest.mark.parametrize("name", bombs())
def test_bombs_cost_no_memory(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=bombs()[name],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
    )
    kilobytes, message = done.stdout.decode().split(" ", 1)
    assert int(kilobytes) < 10_000
    assert message.startswith("the image is ")
