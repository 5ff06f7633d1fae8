"""Sizes in headers are the sizes that the decoder finds."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from tritonpose_pipeline.file_formats import ImageHeader, identify_format, read_header

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)


def saved(file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, file_format, **options)
    return stream.getvalue()


def core_header_bmp() -> bytes:
    """A BMP of OS/2's older header."""
    rows = PIXELS[::-1].tobytes()  # 120 bytes each: no padding
    head = struct.pack("<2sIHHI", b"BM", 26 + len(rows), 0, 0, 26)
    return head + struct.pack("<IHHHH", 12, 40, 24, 1, 24) + rows


def top_down_bmp() -> bytes:
    data = bytearray(saved("BMP"))
    data[22:26] = struct.pack("<i", -24)
    return bytes(data)


def animated_webp() -> bytes:
    stream = io.BytesIO()
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
    return stream.getvalue()


FILES = {
    "PNG": saved("PNG"),
    "BMP": saved("BMP"),
    "BMP, core header": core_header_bmp(),
    "BMP, top down": top_down_bmp(),
    "WebP, lossy": saved("WEBP", quality=80),
    "WebP, lossless": saved("WEBP", lossless=True),
    "WebP, extended": saved("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    "WebP, animated": animated_webp(),
    "JPEG": saved("JPEG"),
    "JPEG, progressive": saved("JPEG", progressive=True),
    "JPEG, comment": saved("JPEG", comment=b"\xff\xc0 not a frame header" * 99),
}


@pytest.mark.parametrize("kind", FILES)
def test_sizes(kind: str) -> None:
    data = FILES[kind]
    header = read_header(data, str(identify_format(data[:16])))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (24, 40, 3)
    scans = 10 if kind == "JPEG, progressive" else 1
    assert header == ImageHeader(40, 24, scans, animated="animated" in kind)


@pytest.mark.parametrize("kind", FILES)
def test_a_header_that_is_cut_off_gives_nothing(kind: str) -> None:
    data = FILES[kind]
    name = str(identify_format(data[:16]))
    known = [length for length in range(16, len(data)) if read_header(data[:length], name)]
    first = known[0]
    # From its end on, the header is read whatever follows.
    assert known == list(range(first, len(data)))
    assert first < len(data) - 100


def test_fill_bytes_and_stray_bytes_between_segments_are_passed_over() -> None:
    data = FILES["JPEG"]
    stuffed = data[:2] + b"\xff\xff\xff\x00\x01\xff\xd0\xff\xff" + data[2:]
    assert read_header(stuffed, "JPEG") == ImageHeader(40, 24)
    assert read_header(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 4_000_000, "JPEG") is None


FRAME = b"\xff\xc0\0\x11\x08\0\x10\0\x10\x03\1\x22\0\2\x11\1\3\x11\1"
SCAN = b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 20_000_000,
        b"\xff\0" * 10_000_000,
        FRAME + SCAN + b"\xff" * 20_000_000,
        FRAME + SCAN + b"\xff\xd0" * 10_000_000,
        FRAME + SCAN * 1_000_000,
        FRAME + SCAN + b"\xff\xc4\0\2" * 5_000_000,
        FRAME + SCAN + b"\xff\xd9" + b"\n" * 20_000_000,
        FRAME + SCAN + b"\xff\xd9" + b"\n--a\r\n" + b"a:b\r\n" * 3_000_000,
    ],
    ids=["fill", "zeros", "data: fill", "data: restarts", "scans", "tables", "gap", "part"],
)
def test_a_header_is_read_in_one_pass(content: bytes) -> None:
    """Anything slower would not end within the time that a test has."""
    header = read_header(b"\xff\xd8" + content, "JPEG")
    assert header is None or header == ImageHeader(16, 16)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WebP, lossy", "JPEG"])
def test_an_image_without_pixels_gives_nothing(kind: str) -> None:
    data = bytearray(FILES[kind])
    place = {"PNG": 19, "BMP": 18, "WebP, lossy": 26, "JPEG": data.find(b"\xff\xc0") + 8}[kind]
    assert data[place] == 40
    data[place] = 0
    assert read_header(bytes(data), kind.split(",")[0]) is None
