"""Image sizes read from the headers of encoded files, before anything is decoded.

Sources: ITU-T T.81 (JPEG), ISO/IEC 15948 (PNG), RFC 9649 (WebP), BITMAPINFOHEADER (BMP).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

# Segments before a JPEG's frame header; real files have a dozen.
_MAX_JPEG_SEGMENTS = 10_000

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_END_OF_HEADER = frozenset({0xD9, 0xDA})


class Header(NamedTuple):
    """What an encoded image claims to be.

    Attributes:
        width: In pixels, before EXIF orientation.
        height: In pixels, before EXIF orientation.
        scans: Passes over the whole image that its decoding takes.
    """

    width: int
    height: int
    scans: int = 1


def read_header(data: bytes, name: str) -> Header | None:
    """Read the size of an encoded image.

    Args:
        data: The file's bytes.
        name: Its format as `tritonpose_pipeline.image.identify_format` names it.

    Returns:
        The header, None where it is cut off or garbled.
    """
    try:
        header = _READERS[name](data)
    except (struct.error, IndexError, ValueError):
        return None
    return header if header and header.width > 0 and header.height > 0 else None


def _read_png(data: bytes) -> Header:
    return Header(*struct.unpack_from(">II", data, 16))


def _read_bmp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        return Header(*struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    # A negative height means rows from top to bottom.
    return Header(width, abs(height))


def _read_webp(data: bytes) -> Header | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return Header(*(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)))
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(width & 0x3FFF, height & 0x3FFF)
    return None


def _read_jpeg(data: bytes) -> Header | None:
    at = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        at = data.index(b"\xff", at)
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        # A zero is no marker but the escape of 0xFF within data.
        if marker == 0 or marker in _JPEG_WITHOUT_LENGTH:
            continue
        if marker in _JPEG_END_OF_HEADER:
            return None
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return Header(width, height, max(data.count(b"\xff\xda", at), 1))
        at += struct.unpack_from(">H", data, at)[0]
    return None


_READERS = {"JPEG": _read_jpeg, "PNG": _read_png, "WebP": _read_webp, "BMP": _read_bmp}
