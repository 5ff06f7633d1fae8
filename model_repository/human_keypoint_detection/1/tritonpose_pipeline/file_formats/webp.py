"""Read WebP files (RFC 9649: 2.7 ``VP8X``, 2.7.1.1 ``ANMF``), and take out the first frame.

What OpenCV makes of a damaged animation depends on what its memory held before, and OpenCV 4.10
reads no animations. PaddleX's OpenCV 4.10 does not turn WebP by its EXIF orientation, so it isn't
read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tritonpose_pipeline.file_formats.header import ImageHeader

_FIRST_CHUNK = 12
_ANIMATED = 0x02
_FRAME_HEADER_LENGTH = 16

# Chunks of a WebP; real files have some thousands.
_MAX_CHUNKS = 100_000


class FirstFrame(NamedTuple):
    """The first frame of an animated WebP, to be put on a black canvas.

    Attributes:
        file: A still WebP file; transparency is left out.
        x: Where its left edge is on the canvas.
        y: Where its upper edge is on the canvas.
    """

    file: bytes
    x: int
    y: int


def read_webp(data: bytes) -> ImageHeader | None:
    """Read the header."""
    size = _read_size(data)
    if size is None:
        return None
    end = _end(data)
    several = data[end : end + 4] == b"RIFF" and data[end + 8 : end + 12] == b"WEBP"
    return ImageHeader(*size, animated=is_animated_webp(data), several=several)


def is_animated_webp(data: bytes) -> bool:
    """Check whether a WebP file says that it is an animation."""
    return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & _ANIMATED)


def first_webp_frame(data: bytes, canvas: ImageHeader) -> FirstFrame | None:
    """Take the first frame out of an animated WebP, whose header is the canvas.

    None where there is none, it reaches beyond the canvas or the end of the file, or its picture
    has another size than it claims.
    """
    chunks = _chunks(data[: _end(data)], _FIRST_CHUNK)
    start, end = next(((start, end) for kind, start, end in chunks if kind == b"ANMF"), (0, 0))
    if end - start < _FRAME_HEADER_LENGTH:
        return None
    # Offsets are in units of two pixels, sizes less one.
    x, y = (2 * int.from_bytes(data[start + at : start + at + 3], "little") for at in (0, 3))
    size = tuple(int.from_bytes(data[start + at : start + at + 3], "little") + 1 for at in (6, 9))
    for kind, body, stop in _chunks(data[:end], start + _FRAME_HEADER_LENGTH):
        if kind in (b"VP8 ", b"VP8L"):
            chunk = data[body - 8 : stop] + bytes((stop - body) % 2)
            file = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
            fits = x + size[0] <= canvas.width and y + size[1] <= canvas.height
            return FirstFrame(file, x, y) if fits and _read_size(file) == size else None
    return None


def _end(data: bytes) -> int:
    """Return where the file says that it ends: its length counts what follows, padded."""
    length = int.from_bytes(data[4:8], "little")
    return 8 + length + length % 2


def _read_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the contents of chunks, as far as they are whole."""
    for _ in range(_MAX_CHUNKS):
        start = at + 8
        end = start + int.from_bytes(data[at + 4 : start], "little")
        if end > len(data) or start > len(data):
            return
        yield data[at : at + 4], start, end
        # Contents of odd length are padded.
        at = end + (end - start) % 2
