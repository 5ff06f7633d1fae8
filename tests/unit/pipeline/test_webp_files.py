"""The first frame of animated WebP files, as OpenCV composes it."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tools.soak.hostile import saved, webp_bomb
from tools.soak.mutations import PIXELS
from tritonpose_pipeline.errors import DamagedImageError
from tritonpose_pipeline.file_formats.webp import first_webp_frame, is_animated_webp
from tritonpose_pipeline.image import check_file, decode_image


def animation(**options: Any) -> bytes:
    picture = Image.fromarray(PIXELS)
    if options.pop("alpha", False):
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return saved(picture, "WEBP", save_all=True, append_images=[picture.rotate(180)], **options)


def with_canvas(data: bytes, width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return data[:24] + sides + data[30:]


def moved(data: bytes, x: int, y: int) -> bytes:
    at = data.index(b"ANMF") + 8
    return (
        data[:at]
        + (x // 2).to_bytes(3, "little")
        + (y // 2).to_bytes(3, "little")
        + (data[at + 6 :])
    )


@pytest.mark.parametrize(
    "options", [{}, {"lossless": True}, {"alpha": True}, {"alpha": True, "lossless": True}]
)
@pytest.mark.parametrize("place", [None, (0, 0), (6, 10)])
def test_as_opencv_composes_it(options: dict[str, Any], place: tuple[int, int] | None) -> None:
    data = animation(**options)
    if place is not None:
        data = moved(with_canvas(data, 80, 70), *place)
    assert is_animated_webp(data)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert expected.shape == ((48, 64, 3) if place is None else (70, 80, 3))
    np.testing.assert_array_equal(decode_image(check_file(data)), expected)


def test_a_still_is_none() -> None:
    assert not is_animated_webp(saved(Image.fromarray(PIXELS), "WEBP"))
    assert not is_animated_webp(b"RIFF\0\0\0\0WEBPVP8X")


def replaced_picture(data: bytes) -> bytes:
    """The first frame's picture is much larger than the frame claims."""
    at = data.index(b"ANMF")
    bomb = webp_bomb(16000, 16000)[12:]
    frame = data[at + 8 : at + 24] + bomb
    return data[:at] + b"ANMF" + struct.pack("<I", len(frame)) + frame


@pytest.mark.parametrize(
    "data",
    [
        with_canvas(animation(), 60, 48),
        moved(animation(), 2, 0),
        animation()[:60],
        animation().replace(b"ANMF", b"ANMX"),
        animation().replace(b"VP8 ", b"VP8?"),
        # Its frames are behind what it says is its end.
        animation()[:4] + struct.pack("<I", 40) + animation()[8:],
        replaced_picture(animation()),
    ],
    ids=["small canvas", "beyond the canvas", "cut", "no frame", "no picture", "early end", "bomb"],
)
def test_damaged(data: bytes) -> None:
    file = check_file(data)
    assert first_webp_frame(data, file.header) is None
    with pytest.raises(DamagedImageError, match="truncated or corrupt"):
        decode_image(file)
