"""Files that try to break a decoder, made by hand: random damage would never find them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

_ORIENTATION = 0x0112

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class HostileFile:
    """A file that must be refused or else is read as OpenCV reads it."""

    name: str
    data: bytes
    refused: bool


def refused_files(pixels: Pixels) -> list[HostileFile]:
    """Make files that must be refused, each cheaply: not images, too large, with a false size.

    Pixels are uint8 ``[H, W, 3]``, RGB.
    """
    jpeg = saved(Image.fromarray(pixels), "JPEG")
    png = saved(Image.fromarray(pixels), "PNG")
    frame = jpeg.index(b"\xff\xc0")
    files = {
        "no bytes": b"",
        "one byte": b"\xff",
        "zeros": bytes(10_000),
        "text": b"Dear friend, this is no photo.\n" * 40,
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "ZIP": _zip(jpeg),
        "GIF": saved(Image.fromarray(pixels), "GIF"),
        "TIFF": saved(Image.fromarray(pixels), "TIFF"),
        "PDF": b"%PDF-1.7\n%" + bytes(range(128, 160)),
        "JPEG under a PNG's magic": png[:8] + jpeg[8:],
        "JPEG behind other bytes": bytes(16) + jpeg,
        "JPEG: head alone": jpeg[:frame],
        "JPEG: of 65500x65500": jpeg[: frame + 5]
        + struct.pack(">HH", 65500, 65500)
        + jpeg[frame + 9 :],
        "JPEG: of 1x32767": saved(Image.new("RGB", (1, 32767)), "JPEG"),
        "PNG: of 32767x1": png_bomb(32767, 1),
        "JPEG: a camera's stream": jpeg * 3,
        "PNG: two after each other": png * 2,
        "JPEG: of 1x65500": saved(Image.new("RGB", (1, 65500)), "JPEG"),
        "JPEG: of 65500x1": saved(Image.new("RGB", (65500, 1)), "JPEG"),
        "JPEG: a second, huge frame": jpeg[:frame]
        + jpeg[frame : frame + 19]
        + b"\xff\xc0\x00\x11\x08"
        + struct.pack(">HH", 65500, 65500)
        + jpeg[frame + 9 :],
        "JPEG: of no height": jpeg[: frame + 5] + bytes(2) + jpeg[frame + 7 :],
        "PNG: of 1x65500": png_bomb(1, 65500),
        "PNG: of 65500x1": png_bomb(65500, 1),
        "PNG: of 2147483647x1": png_bomb(0x7FFFFFFF, 1),
        "PNG: a chunk of 4 GB": png[:33] + b"\xff\xff\xff\xffIDAT" + png[41:],
        "PNG: a second, huge header": png[:33] + png_bomb(50_000, 50_000)[8:33] + png[33:],
        "PNG: of no width": png_bomb(0, 9),
        "WebP: of 16383x16383": webp_bomb(16383, 16383),
        "WebP: canvas smaller than picture": _lying_webp(),
        "BMP: of 60000x60000": _bmp(60_000, 60_000),
        "BMP: upside down, -2147483648 high": _bmp(100, -(2**31)),
        "BMP: of 2147483647x2147483647": _bmp(0x7FFFFFFF, 0x7FFFFFFF),
    }
    files |= bombs()
    return [HostileFile(name, data, refused=True) for name, data in files.items()]


def bombs() -> dict[str, bytes]:
    """Make small files that would take gigabytes once decoded."""
    return {
        "PNG bomb of 50000x50000": png_bomb(50_000, 50_000),
        "WebP bomb of 16384x16384": webp_bomb(16384, 16384),
    }


def unusual_files(pixels: Pixels) -> list[HostileFile]:
    """Make files that are read as OpenCV reads them: rare colors, orientations, metadata, sizes.

    Pixels are uint8 ``[H, W, 3]``, RGB.
    """
    picture = Image.fromarray(pixels)
    turned = picture.rotate(180)
    frames: dict[str, Any] = {"save_all": True, "append_images": [turned], "duration": 40}
    alpha = picture.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(picture.size))
    deep = pixels.astype(np.uint16)[:, :, ::-1] * 257
    files = {
        "JPEG": saved(picture, "JPEG"),
        "PNG": saved(picture, "PNG"),
        "BMP": saved(picture, "BMP"),
        "BMP: alpha": saved(alpha, "BMP"),
        "PNG: gray, alpha": saved(picture.convert("LA"), "PNG"),
        "JPEG: CMYK": saved(picture.convert("CMYK"), "JPEG"),
        "JPEG: gray": saved(picture.convert("L"), "JPEG"),
        "JPEG: progressive": saved(picture, "JPEG", progressive=True),
        "JPEG: junk as color profile": saved(picture, "JPEG", icc_profile=b"junk" * 500),
        "JPEG: motion photo": saved(picture, "JPEG") + b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 200,
        "JPEG: multi-picture": saved(picture, "MPO", save_all=True, append_images=[turned]),
        "JPEG: bytes after its end": saved(picture, "JPEG") + b"more" * 999,
        "PNG: 16 bits": cv2.imencode(".png", deep)[1].tobytes(),
        "PNG: 16 bits, gray": cv2.imencode(".png", deep[:, :, 1])[1].tobytes(),
        "PNG: palette": saved(picture.quantize(32), "PNG"),
        "PNG: 1 bit": saved(picture.convert("1"), "PNG"),
        "PNG: gray": saved(picture.convert("L"), "PNG"),
        "PNG: alpha": saved(alpha, "PNG"),
        "PNG: junk as color profile": saved(picture, "PNG", icc_profile=b"junk" * 500),
        "PNG: animated": saved(picture, "PNG", **frames),
        "WebP": saved(picture, "WEBP", quality=90),
        "WebP: lossless": saved(picture, "WEBP", lossless=True),
        "WebP: alpha": saved(alpha, "WEBP"),
        "WebP: animated": saved(picture, "WEBP", **frames),
        "BMP: palette": saved(picture.quantize(32), "BMP"),
        "BMP: 1 bit": saved(picture.convert("1"), "BMP"),
        "JPEG: 1x1": saved(picture.resize((1, 1)), "JPEG"),
        "PNG: 1x1": saved(picture.resize((1, 1)), "PNG"),
        "WebP: 1x1": saved(picture.resize((1, 1)), "WEBP"),
        "BMP: 1x1": saved(picture.resize((1, 1)), "BMP"),
        "JPEG: 1x32766": saved(Image.new("RGB", (1, 32766), "gray"), "JPEG"),
        "PNG: 32766x1": saved(Image.new("RGB", (32766, 1), "gray"), "PNG"),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        for kind in ("JPEG", "PNG", "WEBP"):
            files[f"{kind}: orientation {orientation}"] = saved(picture, kind, exif=exif)
    return [HostileFile(name, data, refused=False) for name, data in files.items()]


def truncations(pixels: Pixels) -> Iterator[tuple[str, bytes]]:
    """Cut files of every format at every seventh byte; yields a name and the bytes."""
    picture = Image.fromarray(pixels)
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        data = saved(picture, kind)
        for length in range(0, len(data), 7):
            yield f"{kind} of {len(data)} bytes, cut at {length}", data[:length]


def png_bomb(width: int, height: int) -> bytes:
    """Make a PNG whose header claims a size, and whose data is a few well-compressed rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )


def webp_bomb(width: int, height: int) -> bytes:
    """Make a lossless WebP whose header claims a size, up to 16384x16384."""
    data = bytearray(saved(Image.new("RGB", (16, 16)), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, bits & 0xF0000000 | (height - 1) << 14 | (width - 1))
    return bytes(data)


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Encode an image as a file."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def _lying_webp() -> bytes:
    canvas = (15).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas + canvas
    picture = webp_bomb(16384, 16384)[12:]
    content = b"WEBP" + extended + picture
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 1000, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(946)
    )


def _zip(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photo.jpg", content)
    return stream.getvalue()
