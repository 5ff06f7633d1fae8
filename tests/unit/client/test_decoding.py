"""Images are decoded, and their sizes told, by the server's own rules; large ones never."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tools.peak_memory import peak_mb
from tools.soak.hostile import png_bomb, unusual_files
from tritonpose import InputError, KeypointResult
from tritonpose._requests import failed_result, request_for
from tritonpose.config import PipelineConfig
from tritonpose.errors import InvalidRequestError
from tritonpose.inputs import FileInput, ImageInput, decode_source, load_source, size_of
from tritonpose_pipeline.image import check_file, decode_image

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)


def saved(file_format: str, picture: Image.Image = PICTURE, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def loaded(data: bytes) -> list[ImageInput]:
    return load_source(FileInput("photo", read=lambda: data))


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        request_for(loaded(data)[0], PipelineConfig(), None)
    assert caught.value.input == "photo"
    return str(caught.value)


@pytest.mark.parametrize("file", unusual_files(PIXELS), ids=lambda file: file.name)
def test_a_result_has_the_picture_that_the_server_decodes(file: object) -> None:
    data = file.data  # type: ignore[attr-defined]
    expected = decode_image(check_file(data))
    np.testing.assert_array_equal(KeypointResult("a.jpg", data)["input_img"], expected)
    assert size_of(data) == (expected.shape[1], expected.shape[0])


def tiff(orientation: int, mode: str = "RGB", **options: object) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = orientation
    return saved("TIFF", PICTURE.convert(mode), tiffinfo=tags, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "RGBA"])
def test_pages_are_turned_and_their_sizes_known(mode: str, orientation: int) -> None:
    data = tiff(orientation, mode, compression="tiff_lzw")
    (image,) = loaded(data)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    result = KeypointResult("a.tif", image.source)
    assert size_of(result.held_image()) == (expected.shape[1], expected.shape[0])
    np.testing.assert_array_equal(result["input_img"], expected)
    np.testing.assert_array_equal(request_for(image, PipelineConfig(), None).frame, expected)


def test_each_page_is_decoded_by_itself() -> None:
    further = [Image.fromarray(np.roll(PIXELS, shift, 1)) for shift in (3, 5)]
    sizes = [(40, 24), (20, 10), (40, 24)]
    pages = [PICTURE, further[0].resize((20, 10)), further[1]]
    for options in ({}, {"big_tiff": True}):
        data = saved("TIFF", save_all=True, append_images=pages[1:], **options)
        images = loaded(data)
        assert [image.page_index for image in images] == [0, 1, 2]
        assert [size_of(image.source) for image in images] == sizes
        for image, page in zip(images, pages, strict=True):
            pixels = decode_source(image.source, "photo")
            np.testing.assert_array_equal(pixels[..., ::-1], np.asarray(page))


def tiff_page(width: int, height: int, at: int, following: int, **further: int) -> bytes:
    """A page whose compressed rows are 12 kB of zeros for any size."""
    rows = zlib.compress(bytes(10_000_000), 9)
    start = at + 2 + (9 + len(further)) * 12 + 4
    fields = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: start, 277: 1, 278: height}
    fields |= {279: len(rows)} | {int(tag[1:]): value for tag, value in further.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields))
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", following) + rows


def test_large_pages_are_refused_by_their_headers() -> None:
    head = b"II*\0\x08\0\0\0"
    assert refusal(head + tiff_page(30_000, 25_000, 8, 0)) == (
        "'photo' is 30000x25000, 750000000 pixels; up to 67108864 (max_pixels) are accepted: "
        "downscale it first"
    )
    tiled = tiff_page(8, 8, 8, 0, t322=2**15, t323=2**15)
    assert "'photo' has tiles of 1073741824 pixels" in refusal(head + tiled)
    # The second of two fails alone.
    first = tiff_page(40, 24, 8, 0)
    both = tiff_page(40, 24, 8, 8 + len(first)) + tiff_page(30_000, 25_000, 8 + len(first), 0)
    images = loaded(head + both)
    assert decode_source(images[0].source, None).shape == (24, 40, 3)
    with pytest.raises(InputError, match="750000000 pixels"):
        request_for(images[1], PipelineConfig(), None)


def test_pages_that_lead_back_to_earlier_ones_end() -> None:
    assert len(loaded(b"II*\0\x08\0\0\0" + tiff_page(40, 24, 8, 8))) == 1
    page = struct.pack("<HHHIIHHII", 2, 256, 4, 1, 9, 257, 4, 1, 9)
    starts = range(8, 8 + 10_001 * (len(page) + 4), len(page) + 4)
    chain = b"".join(page + struct.pack("<I", start) for start in [*starts[1:], 0])
    assert refusal(b"II*\0\x08\0\0\0" + chain) == "'photo' has more than 10000 pages: split it"


def test_directories_that_overlap_end() -> None:
    data = bytearray(b"II*\0\x08\0\0\0" + bytes(1_000_000))
    for start in range(8, 8 + 9000 * 60, 60):
        # Each of 20,000 fields, among them its own size.
        struct.pack_into("<HHHIIHHII", data, start, 20_000, 256, 4, 1, 9, 257, 4, 1, 9)
        struct.pack_into("<I", data, start + 2 + 20_000 * 12, start + 60)
    assert len(loaded(bytes(data))) < 60


_MANY_PAGES = """
import sys
from tools.peak_memory import peak_mb
from tritonpose._requests import request_for
from tritonpose.config import PipelineConfig
from tritonpose.inputs import FileInput, load_source
images = load_source(FileInput("photo", read=lambda: open(sys.argv[1], "rb").read()))
before = peak_mb()
for image in images:
    request_for(image, PipelineConfig(), None)
print(len(images), peak_mb() - before)
"""


def test_the_memory_of_many_pages_is_that_of_one(tmp_path: Path) -> None:
    page = Image.new("L", (4000, 3000))
    path = tmp_path / "pages.tif"
    page.save(path, save_all=True, append_images=[page] * 9, compression="tiff_adobe_deflate")
    done = subprocess.run(
        [sys.executable, "-c", _MANY_PAGES, path],
        capture_output=True,
        text=True,
        check=True,
    )
    pages, megabytes = map(int, done.stdout.split())
    # Together they have 360 MB.
    assert (pages, megabytes < 150) == (10, True), megabytes


def test_a_file_that_the_server_finds_too_large_is_not_decoded_here() -> None:
    refused = InvalidRequestError("too large")
    refused.code = "invalid_image"
    # This process's peak begins with what it has now.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb()
    result = failed_result(ImageInput("a.png", png_bomb(20_000, 20_000)), refused)
    assert "20000x20000, 400000000 pixels" in str(result.error)
    assert peak_mb() - before < 100


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "PPM"])
def test_several_pictures_in_a_file_are_no_still(kind: str) -> None:
    words = "give it a video's suffix: .mjpeg" if kind == "JPEG" else "one after the other"
    assert words in refusal(saved(kind) * 3)


def test_animations_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("PNG", "WEBP"):
        with caplog.at_level(logging.WARNING, "tritonpose"):
            loaded(saved(kind, save_all=True, append_images=[PICTURE.rotate(180)]))
        assert "only its first frame is read" in caplog.text
        caplog.clear()
        loaded(saved(kind))
        assert caplog.text == ""


@pytest.mark.parametrize("suffix", [".jp2", ".exr", ".hdr", ".sr", ".ras", ".pfm", ".pam"])
def test_what_else_opencv_reads_never_reaches_it(suffix: str) -> None:
    beginnings = {
        ".jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
        ".exr": b"\x76\x2f\x31\x01",
        ".hdr": b"#?RADIANCE\n",
        ".sr": b"\x59\xa6\x6a\x95",
        ".ras": b"\x59\xa6\x6a\x95",
        ".pfm": b"PF\n4 4\n",
        ".pam": b"P7\nWIDTH 4\n",
    }
    assert "not like a JPEG, PNG, WebP, BMP, TIFF or PNM image" in refusal(
        beginnings[suffix] + bytes(99)
    )
