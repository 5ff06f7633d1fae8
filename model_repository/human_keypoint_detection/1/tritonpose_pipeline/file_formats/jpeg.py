"""Read the header of a JPEG file as libjpeg walks it (ITU-T T.81; CIPA DC-007 for MPF).

Other data may follow the picture's end, a video or further pictures for example: none of it counts
as part of the picture.
"""

from __future__ import annotations

import re
import struct

from tritonpose_pipeline.file_formats.exif import UPRIGHT, read_orientation
from tritonpose_pipeline.file_formats.header import ImageHeader

# Segments of a JPEG's picture; real files have some dozens.
_MAX_SEGMENTS = 3_000

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_APP1, _APP2 = 0xE1, 0xE2

# A zero is not a marker but escapes 0xFF within data; more of 0xFF may lead up to a marker.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
# Without those of restarts, which are part of a scan's data.
_MARKER_OF_DATA = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

_EXIF_PREFIX_LENGTH = 6  # "Exif\0\0"

# Between the pictures of a stream: padding, or the header of a part of an HTTP answer.
_NEXT_PICTURE = re.compile(
    rb"[\0\s]{0,1048576}(?:--[^\r\n]{1,200}\r?\n(?:[!-9;-~]+:[^\r\n]*\r?\n){0,20}\r?\n)?(?=\xff\xd8\xff)"
)
# The first picture says that others are attached: multi-picture format, Google's containers.
_MULTI_PICTURE = b"MPF\0"
_CONTAINER = b"http://ns.google.com/photos/1.0/container/"


def read_jpeg(data: bytes) -> ImageHeader | None:
    """Read the header, passing over all of the picture's data."""
    header, end = _read_picture(data, 0)
    if header is None or end is None:
        return header
    following = _NEXT_PICTURE.match(data, end)
    if following is None or _has_attachments(data):
        return header
    other, _ = _read_picture(data, following.end())
    # A preview of another size may be appended without being declared.
    same = other is not None and (other.width, other.height) == (header.width, header.height)
    return header._replace(several=same)


def _read_picture(data: bytes, start: int) -> tuple[ImageHeader | None, int | None]:
    """Read the picture that begins at ``start``; its end is None where the file is cut off."""
    size: tuple[int, int] | None = None
    orientation: int | None = None
    scans, at = 0, start + 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, _end_of_data(data, at) if scans else at)
        if found is None:
            break
        marker, at = found[1][0], found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START, _END):
            return _header(size, scans, orientation), at if marker == _END else found.start()
        if len(data) < at + 2:
            break
        (length,) = struct.unpack_from(">H", data, at)
        if marker in _FRAMES and size is None:
            if len(data) < at + 7:
                break
            height, width = struct.unpack_from(">HH", data, at + 3)
            size = width, height
        elif marker == _SCAN:
            if size is None:
                break
            scans += 1
        elif marker == _APP1 and orientation is None and not scans:
            # Only the first block of this kind, whatever it holds.
            orientation = read_orientation(data[at + 2 + _EXIF_PREFIX_LENGTH : at + length])
        at += max(length, 2)
    else:
        return None, None
    return _header(size, scans, orientation), None


def _end_of_data(data: bytes, at: int) -> int:
    """Find the first marker at or after ``at`` that isn't a restart within a scan's data."""
    found = _MARKER_OF_DATA.search(data, at)
    return len(data) if found is None else found.start()


def _header(
    size: tuple[int, int] | None, scans: int, orientation: int | None
) -> ImageHeader | None:
    if size is None:
        return None
    return ImageHeader(*size, max(scans, 1), orientation or UPRIGHT)


def _has_attachments(data: bytes) -> bool:
    """Check whether a segment before the first scan declares further pictures."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or found[1][0] == _SCAN:
            return False
        at = found.end()
        if found[1][0] in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        content = data[at + 2 : at + length]
        if found[1][0] == _APP2 and content.startswith(_MULTI_PICTURE):
            return True
        if found[1][0] == _APP1 and _CONTAINER in content:
            return True
        at += max(length, 2)
    return False
