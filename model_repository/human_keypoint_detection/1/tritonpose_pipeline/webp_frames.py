"""Animated WebP files: their first frame as a file of its own.

What OpenCV 4.11 makes of a damaged animation depends on what its memory held before: the same
file is read once and refused the next time. A still picture it reads the same each time.

Source: RFC 9649, sections 2.7.1.1 (``ANMF``) and 2.7 (``VP8X``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tritonpose_pipeline.headers import read_header

# Real files have some thousands.
_MAX_CHUNKS = 100_000

_FIRST_CHUNK = 12
_ANIMATED = 0x02
_FRAME_HEADER_LENGTH = 16


class Frame(NamedTuple):
    """The first frame of an animation, to be put on a black canvas.

    Attributes:
        file: A still WebP file; transparency is left out.
        x: Where its left edge is on the canvas.
        y: Where its upper edge is on the canvas.
    """

    file: bytes
    x: int
    y: int


def is_animated(data: bytes) -> bool:
    """Whether a WebP file says that it is an animation."""
    return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & _ANIMATED)


def first_frame(data: bytes) -> Frame | None:
    """Take the first frame out of an animated WebP.

    Args:
        data: The file's bytes, of which `tritonpose_pipeline.headers.read_header` knows the canvas.

    Returns:
        The frame; None where there is none, it reaches beyond the canvas or the end of the file,
        or its picture has another size than it claims.
    """
    canvas = read_header(data, "WebP")
    start, end = next(
        ((start, end) for kind, start, end in _chunks(data, _FIRST_CHUNK) if kind == b"ANMF"),
        (0, 0),
    )
    if canvas is None or end - start < _FRAME_HEADER_LENGTH:
        return None
    # In units of two pixels, and less one.
    x, y = (2 * int.from_bytes(data[start + at : start + at + 3], "little") for at in (0, 3))
    size = tuple(int.from_bytes(data[start + at : start + at + 3], "little") + 1 for at in (6, 9))
    for kind, body, stop in _chunks(data[:end], start + _FRAME_HEADER_LENGTH):
        if kind in (b"VP8 ", b"VP8L"):
            chunk = data[body - 8 : stop] + bytes((stop - body) % 2)
            file = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
            picture = read_header(file, "WebP")
            fits = x + size[0] <= canvas.width and y + size[1] <= canvas.height
            return Frame(file, x, y) if fits and picture and picture[:2] == size else None
    return None


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the contents of chunks, as far as they are whole."""
    for _ in range(_MAX_CHUNKS):
        start = at + 8
        end = start + int.from_bytes(data[at + 4 : start], "little")
        if end > len(data) or start > len(data):
            return
        yield data[at : at + 4], start, end
        # Contents of odd length are padded.
        at = end + (end - start) % 2
