"""Pictures end where their formats say: what follows is neither read nor counted."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from tools.soak.hostile import saved
from tools.soak.mutations import PIXELS
from tritonpose_pipeline.crops import crop_people
from tritonpose_pipeline.errors import BadImageError
from tritonpose_pipeline.file_formats import identify_format, read_header
from tritonpose_pipeline.file_formats.header import ImageHeader
from tritonpose_pipeline.image import check_file, decode_image

PICTURE = Image.fromarray(PIXELS)
KINDS = ("JPEG", "PNG", "WEBP", "BMP")
# As Android phones write it; its bytes look like any number of scans and frames.
VIDEO = b"\0\0\0\x18ftypmp42" + b"\xff\xda\xff\xc2\xff\xe1" * 500


def header_of(data: bytes) -> ImageHeader:
    header = read_header(data, str(identify_format(data[:16])))
    assert header is not None
    return header


@pytest.mark.parametrize("kind", [*KINDS, "PPM", "TIFF"])
@pytest.mark.parametrize("trailer", [VIDEO, bytes(5000), b"\xff" * 99, b"SEFH" + bytes(40)])
def test_trailing_data_changes_nothing(kind: str, trailer: bytes) -> None:
    data = saved(PICTURE, kind)
    assert header_of(data + trailer) == header_of(data)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_a_motion_photo_is_its_photo(options: dict[str, object]) -> None:
    photo = saved(PICTURE, "JPEG", **options)
    still, motion = check_file(photo), check_file(photo + VIDEO)
    assert motion.header == still.header
    np.testing.assert_array_equal(decode_image(motion), decode_image(still))


def test_scans_within_segments_and_behind_the_end_do_not_count() -> None:
    for progressive, scans in ((False, 1), (True, 10)):
        photo = saved(PICTURE, "JPEG", progressive=progressive)
        comment = b"\xff\xfe\x01\x02" + b"\xff\xda" * 128
        preview = b"\xff\xe1\x03\xea" + b"thumb---" + b"\xff\xda" * 496
        assert header_of(photo[:2] + preview + photo[2:]).scans == scans
        assert header_of(photo[:2] + comment + photo[2:] + b"\xff\xda" * 500).scans == scans


def test_attached_pictures_leave_a_still() -> None:
    several = {"save_all": True, "append_images": [PICTURE.rotate(180)]}
    mpo = saved(PICTURE, "MPO", **several)
    assert mpo.count(b"\xff\xd8\xff") == 2
    np.testing.assert_array_equal(decode_image(check_file(mpo)), cv2.imdecode(*_as_array(mpo)))
    photo = saved(PICTURE, "JPEG")
    preview = saved(PICTURE.resize((16, 12)), "JPEG")
    assert not header_of(photo + preview).several
    packet = b"http://ns.adobe.com/xap/1.0/\0 http://ns.google.com/photos/1.0/container/"
    declared = photo[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet + photo[2:]
    assert not header_of(declared + photo).several


def _as_array(data: bytes) -> tuple[np.ndarray, int]:
    return np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR


PART = b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 900\r\n\r\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 6])
def test_several_pictures_are_refused(kind: str, count: int) -> None:
    data = saved(PICTURE, kind)
    with pytest.raises(
        BadImageError, match=r"several .* pictures one after the other, as a camera"
    ):
        check_file(data * count)


@pytest.mark.parametrize("between", [b"", bytes(300), bytes(65536), b"\r\n", PART])
def test_streams_of_cameras_are_refused(between: bytes) -> None:
    frames = [saved(PICTURE.rotate(angle), "JPEG") for angle in (0, 90, 180)]
    with pytest.raises(BadImageError, match="send each picture by itself"):
        check_file(between.join(frames))
    # A frame without its end.
    with pytest.raises(BadImageError, match="send each picture by itself"):
        check_file(frames[0][:-2] + frames[1])


def test_the_longest_sides_can_be_cropped() -> None:
    matrices = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    for shape in ((4, 32766, 3), (32766, 4, 3)):
        assert crop_people(np.zeros(shape, np.uint8), matrices, (96, 128)).shape == (1, 128, 96, 3)
    for sides in ((32767, 1), (1, 32767), (65535, 1), (65500, 2)):
        file = io.BytesIO()
        Image.new("1", sides).save(file, "PNG")
        with pytest.raises(BadImageError, match="sides up to 32766 pixels are supported"):
            check_file(file.getvalue())


_TIGHT = """
import sys
from tritonpose_pipeline.errors import BadImageError
from tritonpose_pipeline.image import check_file, decode_image
try:
    decode_image(check_file(sys.stdin.buffer.read()))
except BadImageError as error:
    print(error)
"""


def test_what_the_environment_forbids_opencv_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TIGHT],
        input=saved(PICTURE, "PNG"),
        env=os.environ | {"OPENCV_IO_MAX_IMAGE_PIXELS": "100"},
        capture_output=True,
        check=True,
    )
    assert b"OPENCV_IO_MAX_IMAGE_WIDTH, _HEIGHT and _PIXELS allow" in done.stdout
