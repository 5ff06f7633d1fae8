"""Decoding of image files: formats, orientation, limits, and descriptions of anything else."""

import io
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.file_formats import describe_content, identify_format
from tritonpose_pipeline.image import check_file, check_frame, copy_file, decode_image
from tritonpose_pipeline.limits import Limits

GRAY = np.add.outer(np.arange(24) * 4, np.arange(40) * 3).astype(np.uint8)
RGB = np.dstack([GRAY, 255 - GRAY, GRAY // 2])
BGR = RGB[..., ::-1]
ORIENTATION = 0x0112
LIMITS, SMALL = Limits(workers=1), Limits(workers=1, max_pixels=199)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def encoded(suffix: str, pixels: np.ndarray = BGR) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def decoded(data: bytes) -> np.ndarray:
    return decode_image(check_file(data, LIMITS))


def refusal(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(BadRequestError) as caught:
        decode_image(check_file(data, limits))
    return str(caught.value)


@pytest.mark.parametrize(
    ("file_format", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 16),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 6),
    ],
)
def test_pixels_come_in_bgr_order(file_format: str, options: dict, tolerance: int) -> None:
    image = decoded(saved(Image.fromarray(RGB), file_format, **options))
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image.astype(int), BGR, atol=tolerance)


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "BMP"), ("1", "BMP"), ("L", "JPEG")],
)
def test_gray_images_get_three_equal_channels(mode: str, file_format: str) -> None:
    source = Image.fromarray(GRAY).convert(mode)
    expected = np.dstack([np.asarray(source.convert("L"))] * 3)
    image = decoded(saved(source, file_format))
    np.testing.assert_array_equal(image[..., 0], image[..., 2])
    np.testing.assert_allclose(image.astype(int), expected, atol=3 * (file_format == "JPEG"))


def test_a_palette_is_resolved() -> None:
    source = Image.fromarray(RGB).quantize(16)
    expected = np.asarray(source.convert("RGB"))[..., ::-1]
    assert source.mode == "P"
    assert len(np.unique(expected.reshape(-1, 3), axis=0)) > 8
    np.testing.assert_array_equal(decoded(saved(source, "PNG")), expected)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_alpha_is_dropped_not_blended(file_format: str) -> None:
    alpha = np.full_like(GRAY, 7)
    source = Image.fromarray(np.dstack([RGB, alpha]))
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    np.testing.assert_array_equal(decoded(saved(source, file_format, **options)), BGR)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_reduced_to_eight(channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 11, channels)).astype(np.uint16)
    image = decoded(encoded(".png", deep))
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, np.broadcast_to(deep / 257, image.shape), atol=1)


TURNED = {
    1: BGR,
    2: BGR[:, ::-1],
    3: BGR[::-1, ::-1],
    4: BGR[::-1],
    5: BGR.transpose(1, 0, 2),
    6: BGR.transpose(1, 0, 2)[:, ::-1],
    7: BGR.transpose(1, 0, 2)[::-1, ::-1],
    8: BGR.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(orientation: int, file_format: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {}
    image = decoded(saved(Image.fromarray(RGB), file_format, exif=exif, **options))
    expected = TURNED[orientation]
    assert image.shape == expected.shape
    np.testing.assert_allclose(image.astype(int), expected, atol=6)


def zip_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photo.jpg", b"x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (saved(Image.fromarray(GRAY), "GIF"), "it is a GIF file"),
        (saved(Image.fromarray(RGB), "TIFF"), "it is a TIFF file"),
        (b"MM\x00*" + bytes(20), "it is a TIFF file"),
        (b"\0\0\0\x1cftypheic" + bytes(20), "it is a HEIC file"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "it is an AVIF file"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "it is a video (MP4 or QuickTime)"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(9), "it is a JPEG 2000 file"),
        (b"\xff\x4f\xff\x51" + bytes(9), "it is a JPEG 2000 file"),
        (b"\x76\x2f\x31\x01" + bytes(9), "it is an OpenEXR file"),
        (b"#?RADIANCE\n", "it is a Radiance HDR file"),
        (b"\x59\xa6\x6a\x95" + bytes(9), "it is a Sun raster file"),
        (b"PF\n4 4\n-1\n", "it is a PFM file"),
        (b"P7\nWIDTH 4\n", "it is a PAM file"),
        (b"P6 4 4 255\n", "it is a PNM file"),
        (b"%PDF-1.7\n%\xe2\xe3", "it is a PDF file"),
        (zip_archive(), "it is a ZIP archive"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is markup text (SVG, XML or HTML)"),
        (b'\n  <?xml version="1.0"?><svg/>', "it is markup text (SVG, XML or HTML)"),
        (b"<!DOCTYPE html><html></html>", "it is markup text (SVG, XML or HTML)"),
        (b"<HTML><body>Not found", "it is markup text (SVG, XML or HTML)"),
        (b"photo.jpg", "it is text, beginning with 'photo.jpg'"),
        ("grün\tist\r\n".encode(), "it is text, beginning with 'grün\\tist\\r\\n'"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD/", "it is text, beginning with '/9j/4AAQSkZJRgABAQAAAQAB'"),
        (
            b"\x93OTHER\x01\x00v\x00",
            "it is 10 bytes of an unknown format, beginning with 93 4f 54 48 45 52 01 00",
        ),
        (b"\0", "it is 1 bytes of an unknown format, beginning with 00"),
        (b"RIFF\0\0\0\0AVI " + bytes(9), "unknown format, beginning with 52 49 46 46"),
    ],
)
def test_what_is_no_supported_image_is_described(content: bytes, words: str) -> None:
    message = refusal(content)
    assert message.startswith("`image` is not an image the server decodes: ")
    assert words in message
    assert all(name in message for name in ("JPEG", "PNG", "WebP", "BMP"))


def test_files_that_are_empty_too_long_or_objected_to_are_refused() -> None:
    assert refusal(b"") == "`image` is empty: send the bytes of an image file"
    long = np.zeros((1, 32767, 3), np.uint8)
    assert "the image is 32767x1; sides up to 32766" in refusal(encoded(".png", long))
    bmp = bytearray(encoded(".bmp"))
    bmp[18:26] = np.array([30_000, 1], "<i4").tobytes()
    assert refusal(bytes(bmp)).startswith("`image` ")


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert "text, beginning with" in describe_content(b"x" * 512 + b"\0")
    assert "unknown format" in describe_content(b"x" * 511 + b"\0")


@pytest.mark.parametrize(
    ("suffix", "name"), [(".jpg", "JPEG"), (".png", "PNG"), (".webp", "WebP"), (".bmp", "BMP")]
)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_truncated_files_are_refused(suffix: str, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    whole = encoded(suffix, noise)
    cut = whole[: max(int(len(whole) * share), 16)]
    assert refusal(cut) == (
        f"`image` begins like a {name} file but can't be decoded: "
        f"the {len(cut)} bytes are truncated or corrupt"
    )


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\xff\xd8\x00", None),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "PNG"),
        (b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"RIFF1234WEBP", "WebP"),
        (b"RIFF1234WAVE", None),
        (b"RIFX1234WEBP", None),
        (b"BM", "BMP"),
        (b"B", None),
        (b"", None),
    ],
)
def test_formats_are_known_by_their_first_bytes(head: bytes, name: str | None) -> None:
    assert identify_format(head) == name


@pytest.mark.parametrize("shape", [(1, 1, 3), (32766, 1, 3), (1, 32766, 3)])
def test_usable_frames_pass_unchanged(shape: tuple) -> None:
    frame = np.zeros(shape, np.uint8)
    assert check_frame(frame, LIMITS) is frame


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4, 5), "got shape [4, 5]"),
        ((4, 5, 1), "got shape [4, 5, 1]"),
        ((4, 5, 4), "got shape [4, 5, 4]"),
        ((1, 4, 5, 3), "got shape [1, 4, 5, 3]"),
        ((0, 5, 3), "`frame` has no pixels: it is 5x0"),
        ((4, 0, 3), "`frame` has no pixels: it is 0x4"),
        ((32767, 1, 3), "the image is 1x32767; sides up to 32766 pixels are supported"),
        ((1, 32767, 3), "the image is 32767x1; sides up to 32766 pixels are supported"),
        ((4, 50, 3), "is 50x4, 200 pixels; up to 199 (max_pixels)"),
    ],
)
def test_unusable_frames_are_refused(shape: tuple, words: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_frame(np.zeros(shape, np.uint8), LIMITS if shape[1] != 50 else SMALL)
    assert words in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_too_many_pixels_are_refused_before_decoding(suffix: str) -> None:
    data = encoded(suffix)
    check_file(data, Limits(workers=1, max_pixels=40 * 24))
    # Nothing is left to decode after the header.
    for content in (data, data[: len(data) // 2]):
        assert refusal(content, Limits(workers=1, max_pixels=40 * 24 - 1)) == (
            "the image is 40x24, 960 pixels; up to 959 (max_pixels) are accepted: downscale it "
            "first"
        )


def test_a_jpeg_of_absurdly_many_scans_is_refused() -> None:
    data = saved(Image.fromarray(RGB), "JPEG", progressive=True)
    many = data[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 100 + data[-2:]
    assert decoded(data).shape == (24, 40, 3)
    assert "is a progressive JPEG of 110 scans; up to 100 are accepted" in refusal(many)


def test_files_that_are_too_large_are_not_even_copied() -> None:
    tensor = np.arange(9, dtype=np.uint8)
    assert copy_file(tensor, Limits(workers=1, max_image_bytes=9)) == bytes(range(9))
    with pytest.raises(BadRequestError, match=r"has 9 bytes; up to 8 \(max_image_bytes\) are"):
        copy_file(tensor, Limits(workers=1, max_image_bytes=8))
