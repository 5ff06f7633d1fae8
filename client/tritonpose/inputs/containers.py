"""Telling from a video's container whether its end is missing.

OpenCV reports the end of a truncated video like that of a whole one, and the number of frames
that it announces is too high for many whole ones (trimmed MP4 files; WebM files whose sound is
longer). The sizes written in the container are exact.

Sources: ISO/IEC 14496-12 section 4.2 (boxes), Microsoft's "AVI RIFF File Reference", RFC 8794
section 4 to 6 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# What may stand at the top level of an MP4 or MOV file; anything else isn't a box.
_BOXES = frozenset(
    b"ftyp styp moov moof mfra mdat free skip wide uuid meta sidx ssix prft emsg pdin pnot".split()
)
_RIFF_UNKNOWN = (0, 0xFFFFFFFF)
_EBML_IDS = (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67")  # EBML header, Segment
_HEADER_BYTES = 16


def is_cut_short(path: str) -> bool:
    """Whether an MP4, MOV, AVI, Matroska or WebM file is shorter than it says of itself.

    False for other files, and for those that don't say, as recordings of streams don't.
    """
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            part_size = _part_size_of(file.read(_HEADER_BYTES))
            position = 0
            while part_size is not None and position < size:
                file.seek(position)
                length = part_size(file.read(_HEADER_BYTES))
                if length is None:
                    return False
                position += length
    except OSError:
        return False
    return position > size


def _part_size_of(header: bytes) -> Callable[[bytes], int | None] | None:
    """The function that reads the sizes of this container's outermost parts."""
    if header[:4] == b"RIFF":
        return _riff_chunk_size
    if header[:4] == _EBML_IDS[0]:
        return _ebml_element_size
    return _iso_box_size if header[4:8] in _BOXES else None


def _iso_box_size(header: bytes) -> int | None:
    size = int.from_bytes(header[:4], "big")
    if size == 1:
        size = int.from_bytes(header[8:16], "big")
    return size if header[4:8] in _BOXES and size >= 8 else None


def _riff_chunk_size(header: bytes) -> int | None:
    size = int.from_bytes(header[4:8], "little")
    return size + 8 if header[:4] == b"RIFF" and size not in _RIFF_UNKNOWN else None


def _ebml_element_size(header: bytes) -> int | None:
    if header[:4] not in _EBML_IDS or len(header) < 5 or header[4] == 0:
        return None
    # The number of leading zero bits is that of the bytes to follow.
    width = 9 - header[4].bit_length()
    size = int.from_bytes(header[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
    unknown = (1 << 7 * width) - 1
    return None if size == unknown else 4 + width + size
