"""Small files of every format, color mode and orientation, and the pixels that they must give.

Run as a program, it prints the digests of what the OpenCV that is imported decodes.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from tritonpose_pipeline.crops import crop_people
from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.image import check_file, decode_image
from tritonpose_pipeline.pages import decode_page, find_pages

Pixels = npt.NDArray[np.uint8]

_GRAY = np.add.outer(np.arange(24) * 4, np.arange(40) * 3).astype(np.uint8)
RGB: Pixels = np.dstack([_GRAY, 255 - _GRAY, _GRAY // 2])
_BGR = RGB[..., ::-1]
_ACROSS = _BGR.transpose(1, 0, 2)
TURNED = {
    1: _BGR,
    2: _BGR[:, ::-1],
    3: _BGR[::-1, ::-1],
    4: _BGR[::-1],
    5: _ACROSS,
    6: _ACROSS[:, ::-1],
    7: _ACROSS[::-1, ::-1],
    8: _ACROSS[::-1],
}
"""The picture by its orientation."""

_PICTURE = Image.fromarray(RGB)
_TIFF_MODES = ("RGB", "L", "P", "1", "RGBA", "CMYK", "LAB", "YCbCr")


class MatrixFile(NamedTuple):
    """A file, and the orientation in which PaddleX's OpenCV 4.10 reads it; None of no picture."""

    data: bytes
    orientation: int | None


def oriented_files() -> Iterator[tuple[str, MatrixFile]]:
    """Make files of `RGB`, with all orientations in all places and byte orders."""
    jpeg, png = saved("JPEG", quality=95, subsampling=0), saved("PNG")
    picture, end = png.index(b"IDAT") - 4, png.rindex(b"IEND") - 4
    for order in "<>":
        for orientation in range(10):
            exif = exif_of((0x0112, 3, 1, orientation), order=order)
            known = orientation if orientation in TURNED else 1
            name = f"{orientation} {order}"
            yield f"JPEG {name}", MatrixFile(with_exif(jpeg, exif), known)
            chunk = png_chunk(b"eXIf", exif)
            yield f"PNG {name}", MatrixFile(png[:picture] + chunk + png[picture:], known)
            yield f"PNG, at the end, {name}", MatrixFile(png[:end] + chunk + png[end:], known)
            # OpenCV 4.10 does not turn WebP.
            options: dict[str, Any] = {"lossless": True, "exif": b"Exif\0\0" + exif}
            yield f"WebP {name}", MatrixFile(saved("WEBP", **options), 1)
    for orientation in TURNED:
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            data = saved("TIFF", tiffinfo=_tags(orientation), compression=compression)
            yield f"TIFF {compression} {orientation}", MatrixFile(data, orientation)


def odd_exif_files() -> Iterator[tuple[str, MatrixFile]]:
    """Make files whose EXIF data OpenCV's versions read differently, or are garbled."""
    jpeg, png = saved("JPEG", quality=95, subsampling=0), saved("PNG")
    six, three = exif_of((0x0112, 3, 1, 6)), exif_of((0x0112, 3, 1, 3))
    end = jpeg.rindex(b"\xff\xd9")
    scan = jpeg.index(b"\xff\xda")
    xmp = segment(b"http://ns.adobe.com/xap/1.0/\0<x/>")
    make = 0x010F
    for name, data, orientation in (
        ("two blocks", with_exif(jpeg, six, three), 6),
        ("before the scan", jpeg[:scan] + exif_segment(six) + jpeg[scan:], 6),
        ("after the scan", jpeg[:end] + exif_segment(six) + jpeg[end:], 1),
        ("after the end", jpeg + exif_segment(six), 1),
        ("behind XMP", jpeg[:2] + xmp + exif_segment(six) + jpeg[2:], 1),
        ("behind an empty block", with_exif(jpeg, b"", six), 1),
        ("behind a broken block", with_exif(jpeg, b"MM\0*\0\0\xff\xff", six), 1),
        ("under another name", jpeg[:2] + segment(b"EXIF\0\xff" + six) + jpeg[2:], 6),
        ("of another type", with_exif(jpeg, exif_of((0x0112, 4, 1, 6))), 1),
        ("of another type, <", with_exif(jpeg, exif_of((0x0112, 4, 1, 6), order="<")), 6),
        ("twice", with_exif(jpeg, exif_of((0x0112, 3, 1, 6), (0x0112, 3, 1, 3))), 6),
        ("another mark", with_exif(jpeg, six[:3] + b"+" + six[4:]), 1),
        ("mixed byte orders", with_exif(jpeg, b"IM" + six[2:]), 6),
        ("cut off", with_exif(jpeg, six[:-6]), 6),
        ("more fields than there are", with_exif(jpeg, six[:9] + b"\xff" + six[10:]), 6),
        (
            "behind a broken field",
            with_exif(jpeg, exif_of((make, 2, 99, 60000), (0x0112, 3, 1, 6))),
            1,
        ),
        (
            "before a broken field",
            with_exif(jpeg, exif_of((0x0112, 3, 1, 6), (0x0131, 2, 99, 60000))),
            6,
        ),
        ("PNG: two blocks", _png_with(png, png_chunk(b"eXIf", six), png_chunk(b"eXIf", three)), 6),
        ("PNG: wrong checksum", _png_with(png, png_chunk(b"eXIf", six)[:-1] + b"\0"), 1),
        ("PNG: prefixed", _png_with(png, png_chunk(b"eXIf", b"Exif\0\0" + six)), 1),
    ):
        yield name, MatrixFile(data, orientation)


def colored_files() -> Iterator[tuple[str, bytes]]:
    """Make files of all kinds of colors and depths."""
    alpha = _PICTURE.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(_PICTURE.size))
    deep = np.random.default_rng(0).integers(0, 65536, (24, 40, 4)).astype(np.uint16)
    png, cmyk = saved("PNG"), saved("JPEG", _PICTURE.convert("CMYK"))
    adobe = cmyk.index(b"Adobe")
    yield "JPEG gray", saved("JPEG", _PICTURE.convert("L"))
    yield "JPEG 4:2:0", saved("JPEG", quality=80)
    yield "JPEG progressive", saved("JPEG", progressive=True)
    yield "JPEG CMYK", cmyk
    yield "JPEG YCCK", cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :]
    yield "JPEG CMYK, unmarked", cmyk[: adobe - 4] + cmyk[adobe + 12 :]
    yield "JPEG RGB", saved("JPEG", keep_rgb=True)
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield f"PNG {mode}", saved("PNG", alpha.convert(mode))
    yield "PNG palette of 2 bits", saved("PNG", _PICTURE.quantize(4), bits=2)
    yield "PNG transparent color", saved("PNG", transparency=(0, 255, 0))
    for channels in (1, 3, 4):
        yield f"PNG 16 bits {channels}", encoded(".png", deep[..., :channels])
    gamma, profile = struct.pack(">I", 100_000), b"x\0\0" + zlib.compress(b"junk" * 99)
    yield "PNG gamma", _png_with(png, png_chunk(b"gAMA", gamma))
    yield "PNG profile", _png_with(png, png_chunk(b"iCCP", profile))
    yield "WebP", saved("WEBP", quality=80)
    yield "WebP alpha", saved("WEBP", alpha, quality=80)
    further: dict[str, Any] = {"save_all": True, "append_images": [_PICTURE.rotate(180)]}
    yield "WebP animated", saved("WEBP", **further)
    yield "PNG animated", saved("PNG", **further)
    yield "MPO", saved("MPO", **further)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"BMP {mode}", saved("BMP", alpha.convert(mode))
    for mode in _TIFF_MODES:
        for orientation in TURNED:
            data = saved("TIFF", _PICTURE.convert(mode), tiffinfo=_tags(orientation))
            yield f"TIFF {mode} {orientation}", data
    yield "TIFF JPEG", saved("TIFF", compression="jpeg", quality=95)
    yield "TIFF 16 bits", encoded(".tiff", deep[..., :3])
    for mode in ("1", "L", "RGB"):
        yield f"PNM {mode}", saved("PPM", _PICTURE.convert(mode))
    yield "PNM 16 bits", b"P6 40 24 65535\n" + deep[..., :3].astype(">u2").tobytes()
    yield "PNM of another maximum", b"P6 # of our own\n40 24 100\n" + (RGB // 3).tobytes()


def decoded(data: bytes) -> Pixels | None:
    """Decode a file as server and client do; None where it is refused."""
    try:
        if data[:2] in (b"II", b"MM", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"):
            return decode_page(find_pages(data, "file")[0], "file")
        return decode_image(check_file(data))
    except BadRequestError:
        return None


def digests() -> dict[str, str | None]:
    """Decode every file, and crop people; returns a digest of each picture, and of the crops."""
    files = {name: file.data for name, file in (*oriented_files(), *odd_exif_files())}
    files |= dict(colored_files())
    result: dict[str, str | None] = {}
    for name, data in files.items():
        pixels = decoded(data)
        shaped = b"" if pixels is None else bytes(str(pixels.shape), "ascii") + pixels.tobytes()
        result[name] = hashlib.sha256(shaped).hexdigest() if shaped else None
    crops = crop_people(*hostile_crops(), (96, 128))
    return result | {"crops": hashlib.sha256(crops.tobytes()).hexdigest()}


def hostile_crops() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """An image of noise, and matrices: enlarged, reduced, turned, far outside, one pixel, flat."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (217, 341, 3), dtype=np.uint8)
    scales = rng.uniform(0.02, 8, 24)
    matrices = np.zeros((24, 2, 3))
    matrices[:, [0, 1], [0, 1]] = scales[:, None]
    matrices[:, :, 2] = rng.uniform(-400, 400, (24, 2))
    matrices[16:, [0, 1], [1, 0]] = rng.uniform(-2, 2, (8, 2))
    matrices[15] = 0
    return image, matrices


def saved(file_format: str, picture: Image.Image = _PICTURE, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def encoded(suffix: str, pixels: npt.NDArray[Any]) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def exif_of(*fields: tuple[int, int, int, int], order: str = ">") -> bytes:
    """Make EXIF data of fields: tag, type, count and value."""
    data = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(fields))
    for tag, kind, count, value in fields:
        form = "HHIHxx" if kind == 3 else "HHII"
        data += struct.pack(order + form, tag, kind, count, value)
    return data + bytes(4)


def with_exif(jpeg: bytes, *blocks: bytes) -> bytes:
    return jpeg[:2] + b"".join(map(exif_segment, blocks)) + jpeg[2:]


def exif_segment(exif: bytes) -> bytes:
    return segment(b"Exif\0\0" + exif)


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def png_chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def _png_with(png: bytes, *chunks: bytes) -> bytes:
    return png[:33] + b"".join(chunks) + png[33:]


def _tags(orientation: int) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = orientation
    return tags


if __name__ == "__main__":
    print(json.dumps({"version": cv2.__version__, **digests()}))
