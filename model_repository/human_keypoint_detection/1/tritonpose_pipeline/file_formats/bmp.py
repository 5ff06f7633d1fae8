"""Read the header of a BMP file (BITMAPCOREHEADER, BITMAPINFOHEADER and later ones)."""

from __future__ import annotations

import struct

from tritonpose_pipeline.file_formats.header import ImageHeader

_CORE_HEADER_LENGTH = 12


def read_bmp(data: bytes) -> ImageHeader:
    """Read the header."""
    header = _read_picture(data)
    # Some writers leave the length out.
    (length,) = struct.unpack_from("<I", data, 2)
    several = False
    if 0 < length < len(data) and data.startswith(b"BM", length):
        following = data[length : length + 30]
        several = len(following) == 30 and _read_picture(following) == header
    return header._replace(several=several)


def _read_picture(data: bytes) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == _CORE_HEADER_LENGTH:
        return ImageHeader(*struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    # A negative height means rows from top to bottom.
    return ImageHeader(width, abs(height))
