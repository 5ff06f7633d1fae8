"""Read from EXIF data how a picture is to be turned, as PaddleX's OpenCV 4.10 reads it.

OpenCV's own turning depends on its version (4.13 turns WebP, 4.10 does not; they disagree on
files with several or broken EXIF blocks), so pictures are decoded unturned and turned by this.
What else its reader looks at matters, too: it gives up at the first garbled field that it knows.
Source: CIPA DC-008 (Exif 2.3), 4.6.
"""

from __future__ import annotations

import struct

UPRIGHT = 1
"""The orientation of a picture that stays as it is stored."""

_ORIENTATION = 0x0112
KNOWN_ORIENTATIONS = range(1, 9)
"""A picture of any other orientation stays as it is stored."""

_TIFF_MARK = 42
_FIELD_LENGTH = 12
_INLINE_LENGTH = 4
_RATIONAL_LENGTH = 8

# Fields that the reader follows: with text, with this many rational numbers, with a short number.
_TEXTS = frozenset({0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x8298})
_RATIONALS = {0x011A: 1, 0x011B: 1, 0x013E: 2, 0x013F: 6, 0x0211: 3, 0x0214: 6}
_SHORTS = frozenset({0x0128, 0x0213})


def read_orientation(exif: bytes) -> int:
    """Read the orientation, 1 to 8, of EXIF data that begin with the byte order.

    `UPRIGHT` where they hold none, an unknown one, or can't be read as far as that.
    """
    order = "<" if exif[:2] == b"II" else ">"
    try:
        mark, directory = struct.unpack_from(f"{order}HI", exif, 2)
        if mark != _TIFF_MARK:
            return UPRIGHT
        (fields,) = struct.unpack_from(f"{order}H", exif, directory)
        for number in range(fields):
            field = directory + 2 + number * _FIELD_LENGTH
            (tag,) = struct.unpack_from(f"{order}H", exif, field)
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(f"{order}H", exif, field + 8)
                return value if value in KNOWN_ORIENTATIONS else UPRIGHT
            _follow(exif, order, tag, field)
    except struct.error:
        pass
    return UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Check whether a picture of this orientation lies on its side."""
    return orientation > 4


def _follow(exif: bytes, order: str, tag: int, field: int) -> None:
    """Raise struct.error where a known field's content is not within the data."""
    if tag in _TEXTS:
        (length,) = struct.unpack_from(f"{order}I", exif, field + 4)
        start = 8
        if length > _INLINE_LENGTH:
            (start,) = struct.unpack_from(f"{order}I", exif, field + 8)
        if start + length > len(exif):
            raise struct.error
    elif tag in _RATIONALS:
        (start,) = struct.unpack_from(f"{order}I", exif, field + 8)
        struct.unpack_from(f"{_RATIONALS[tag] * _RATIONAL_LENGTH}s", exif, start)
    elif tag in _SHORTS:
        struct.unpack_from(f"{order}H", exif, field + 8)
