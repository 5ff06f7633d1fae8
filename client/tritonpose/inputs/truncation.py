"""Find videos that were cut off, which FFmpeg reads like whole ones as far as they go.

Sources: the specifications of ISO base media files (MP4, MOV), RIFF (AVI) and EBML (Matroska).
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from tritonpose.file_types import may_need_its_end

if TYPE_CHECKING:
    from collections.abc import Iterator

_MATROSKA = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
# Live recordings leave their size open: RIFF's writers put the largest number, or nearly that.
_OPEN_RIFF = 0xFFFFFF00
_MOST_PARTS = 100_000


def missing_bytes(file: BinaryIO) -> int:
    """Count the bytes that a video lacks of what its container announces.

    0 for a whole one, for one whose container doesn't tell, and for a file that can't be sought in.
    """
    if hasattr(file, "seekable") and not file.seekable():
        return 0
    start = file.tell()
    try:
        file.seek(0, 2)
        size = file.tell()
        file.seek(start)
        head = file.read(12)
        if head.startswith(_MATROSKA):
            ends = _segment_end(file, start)
        elif head.startswith(b"RIFF") and head.endswith(b"AVI "):
            ends = _riff_ends(file, start)
        elif may_need_its_end(head):
            ends = _box_ends(file, start, size)
        else:
            return 0
        return max(0, max(islice(ends, _MOST_PARTS), default=0) - size)
    finally:
        file.seek(start)


def _box_ends(file: BinaryIO, offset: int, size: int) -> Iterator[int]:
    """Yield where each box of an MP4 file ends that holds pictures or their index."""
    # Beyond it may be more than a file can be sought in.
    while offset < size:
        file.seek(offset)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        if length < 8:  # 0: to the end of the file, as of padding
            return
        offset += length
        if kind in (b"moov", b"mdat", b"moof"):
            yield offset


def _riff_ends(file: BinaryIO, offset: int) -> Iterator[int]:
    """Yield where each RIFF chunk of an AVI file ends; large files have several."""
    while True:
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = struct.unpack("<4sI", head)
        if kind != b"RIFF" or not 0 < length < _OPEN_RIFF:
            return
        offset += 8 + length
        yield offset
        offset += length % 2


def _segment_end(file: BinaryIO, offset: int) -> Iterator[int]:
    """Yield where the segment of a Matroska file ends, if that is known."""
    file.seek(offset + len(_MATROSKA))
    header = _read_size(file)
    if header is None:
        return
    file.seek(header, 1)
    if file.read(len(_SEGMENT)) == _SEGMENT:
        length = _read_size(file)
        if length is not None:
            yield file.tell() + length


def _read_size(file: BinaryIO) -> int | None:
    """Read a size of EBML; None for an unknown one."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    bits = 7 * (extra + 1)
    value = int.from_bytes(first + file.read(extra), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value
