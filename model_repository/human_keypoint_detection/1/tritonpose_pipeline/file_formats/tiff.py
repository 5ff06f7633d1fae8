"""Read the pages of TIFF and BigTIFF files (TIFF 6.0; BigTIFF by Aware Systems).

OpenCV turns pages by their orientation in every version, whatever it is asked for; here it is read
for their size alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tritonpose_pipeline.file_formats.exif import KNOWN_ORIENTATIONS, UPRIGHT
from tritonpose_pipeline.file_formats.header import ImageHeader

_CLASSIC, _BIG = 42, 43
_WIDTH, _HEIGHT, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 274, 322, 323
_BYTE, _SHORT, _LONG, _LONG8 = 1, 3, 4, 16
_NUMBERS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _LONG8: "Q"}

# Fields of all pages together: directories may overlap, and a page has about 20.
_MAX_FIELDS = 1_000_000


class TiffPage(NamedTuple):
    """One page of a TIFF file.

    Attributes:
        header: Its size.
        start: Where its directory begins.
        next_field: Where the file says at which offset the next page's directory begins.
        largest_tile: Pixels of one tile, which may be larger than the page; 0 without tiles.
    """

    header: ImageHeader
    start: int
    next_field: int
    largest_tile: int


class _Layout(NamedTuple):
    """How numbers lie in one of the two kinds of files."""

    first: int
    offset: str
    fields: str
    field_length: int
    value: int


_LAYOUTS = {_CLASSIC: _Layout(4, "I", "H", 12, 8), _BIG: _Layout(8, "Q", "Q", 20, 12)}


def tiff_pages(data: bytes) -> Iterator[TiffPage]:
    """Yield the pages in order, up to one that is garbled or was there before."""
    order, layout = _order(data), _LAYOUTS.get(_mark(data))
    if layout is None:
        return
    seen = set()
    at, fields = layout.first, 0
    while fields <= _MAX_FIELDS:
        try:
            (start,) = struct.unpack_from(order + layout.offset, data, at)
            if start == 0 or start in seen:
                return
            seen.add(start)
            page = _read_page(data, order, layout, start)
        except (struct.error, OverflowError):  # the latter of offsets beyond any file
            return
        yield page
        at = page.next_field
        fields += (at - start) // layout.field_length


def make_first(file: bytearray, page: TiffPage) -> None:
    """Change a file so that ``page`` is its only one."""
    order, layout = _order(file), _LAYOUTS[_mark(file)]
    struct.pack_into(order + layout.offset, file, layout.first, page.start)
    struct.pack_into(order + layout.offset, file, page.next_field, 0)


def _order(data: bytes | bytearray) -> str:
    return "<" if data[:2] == b"II" else ">"


def _mark(data: bytes | bytearray) -> int:
    return struct.unpack_from(_order(data) + "H", data, 2)[0] if len(data) >= 4 else 0


def _read_page(data: bytes, order: str, layout: _Layout, start: int) -> TiffPage:
    """Read the page whose directory begins at ``start``; struct.error where it is cut off."""
    (count,) = struct.unpack_from(order + layout.fields, data, start)
    first = start + struct.calcsize(layout.fields)
    numbers = {}
    for number in range(count):
        at = first + number * layout.field_length
        tag, kind, values = struct.unpack_from(f"{order}HH{layout.offset}", data, at)
        if kind in _NUMBERS and values == 1 and tag not in numbers:
            (numbers[tag],) = struct.unpack_from(order + _NUMBERS[kind], data, at + layout.value)
    next_field = first + count * layout.field_length
    struct.unpack_from(order + layout.offset, data, next_field)
    orientation = numbers.get(_ORIENTATION, UPRIGHT)
    if orientation not in KNOWN_ORIENTATIONS:
        orientation = UPRIGHT
    header = ImageHeader(numbers.get(_WIDTH, 0), numbers.get(_HEIGHT, 0), orientation=orientation)
    tile = numbers.get(_TILE_WIDTH, 0) * numbers.get(_TILE_HEIGHT, 0)
    return TiffPage(header, start, next_field, tile)
