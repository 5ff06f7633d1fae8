"""Read PNG files (ISO/IEC 15948), and leave out what the still picture does not need.

OpenCV 4.11 allocates whatever length a chunk claims, and its reader of animated PNGs crashes on
frames larger than the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from tritonpose_pipeline.file_formats.exif import UPRIGHT, read_orientation
from tritonpose_pipeline.file_formats.header import ImageHeader

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Chunks of a PNG; real files have some thousands.
_MAX_CHUNKS = 100_000

# Chunks that change the pixels OpenCV returns: the picture itself, transparency of palettes.
_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})


def read_png(data: bytes) -> ImageHeader:
    """Read the header and, as far as the file is whole, the chunks behind it."""
    width, height = struct.unpack_from(">II", data, 16)
    orientation: int | None = None
    animated = several = False
    for kind, start, end in _chunks(data):
        if kind == b"eXIf" and orientation is None and _is_valid_exif(data, start, end):
            orientation = read_orientation(data[start + 8 : end - 4])
        elif kind == b"acTL":
            animated = True
        elif kind == b"IEND":
            several = data.startswith(SIGNATURE, end)
    return ImageHeader(
        width, height, orientation=orientation or UPRIGHT, animated=animated, several=several
    )


def still_png(data: bytes) -> bytes | None:
    """Drop the chunks of a PNG that its still picture does not need.

    The same object where nothing is dropped; None where a chunk reaches beyond the end, there are
    absurdly many, or none has a picture.
    """
    needed: list[tuple[int, int]] = []
    kinds = set()
    kind, end = b"", 0
    for kind, start, end in _chunks(data):
        if kind in _NEEDED:
            needed.append((start, end))
        kinds.add(kind)
    # Without a picture, OpenCV would go on reading after the end.
    if kind != b"IEND" or b"IDAT" not in kinds:
        return None
    if kinds <= _NEEDED and end == len(data):
        return data
    view = memoryview(data)
    return b"".join([SIGNATURE, *(view[start:stop] for start, stop in needed)])


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the chunks up to IEND, as far as they are whole."""
    at = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(kind) < 4 or end > len(data):
            return
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _is_valid_exif(data: bytes, start: int, end: int) -> bool:
    """Check what libpng checks before it believes an eXIf chunk."""
    (stated,) = struct.unpack_from(">I", data, end - 4)
    return data[start + 8 : start + 10] in (b"II", b"MM") and stated == zlib.crc32(
        memoryview(data)[start + 4 : end - 4]
    )
