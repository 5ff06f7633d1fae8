"""Decode the formats that only the client reads: TIFF, page by page, and PNM."""

from __future__ import annotations

from typing import NamedTuple

from tritonpose_pipeline.errors import BadImageError, DamagedImageError
from tritonpose_pipeline.file_formats import ImageHeader, describe_content, identify_format
from tritonpose_pipeline.file_formats.tiff import TiffPage, make_first, tiff_pages
from tritonpose_pipeline.image import Image, check_header, check_size, decode_stored
from tritonpose_pipeline.limits import Limits

_MAX_PAGES = 10_000

# OpenCV allocates a tile at a time, which may be far larger than the page.
_MAX_TILE_PIXELS = 2**24


class EncodedPage(NamedTuple):
    """One image of a file, not decoded yet.

    Attributes:
        format: ``"TIFF"`` or ``"PNM"``.
        header: What its header says.
        data: The file's bytes.
        place: Where it is in a TIFF file.
    """

    format: str
    header: ImageHeader
    data: bytes
    place: TiffPage | None


def find_pages(data: bytes, name: str) -> list[EncodedPage]:
    """Find the images of a TIFF or PNM file, which messages call ``name``, decoding none.

    BadImageError: the file is of another format, garbled, holds too many pages, or, as its only
    image, a larger one than is accepted.
    """
    kind = identify_format(data[:16])
    if kind not in ("TIFF", "PNM"):
        raise BadImageError(
            f"{name} looks like {describe_content(data)}, not like a JPEG, PNG, WebP, BMP, TIFF or "
            "PNM image"
        )
    header = check_header(data, kind, None, name)
    if kind == "PNM":
        pages = [EncodedPage(kind, header, data, None)]
    else:
        pages = []
        for place in tiff_pages(data):
            if len(pages) == _MAX_PAGES:
                raise BadImageError(f"{name} has more than {_MAX_PAGES} pages: split it")
            pages.append(EncodedPage(kind, place.header, data, place))
    if len(pages) == 1:
        _check_page(pages[0], name)
    return pages


def decode_page(page: EncodedPage, name: str) -> Image:
    """Decode one image of a file; arguments, result and errors are those of `decode_image`.

    A page's orientation is applied, as OpenCV always does with TIFF.
    """
    _check_page(page, name)
    file: bytes | bytearray = page.data
    if page.format == "PNM" and file[1:2] in b"123":
        # OpenCV wants a gap behind the last number of a text.
        file += b"\n"
    if page.place is not None:
        file = bytearray(file)
        make_first(file, page.place)
    image = decode_stored(file, page.format, name)
    if image is None:
        raise DamagedImageError(
            f"{name} begins like a {page.format} file but can't be decoded: it is truncated or "
            "corrupt, or of a kind that OpenCV doesn't read, such as floating-point samples"
        )
    return image


def _check_page(page: EncodedPage, name: str) -> None:
    """Raise BadImageError for an image that would take too much memory."""
    if page.header.width <= 0 or page.header.height <= 0:
        raise BadImageError(f"{name} has a page without pixels")
    check_size(page.header.width, page.header.height, Limits(workers=1), name)
    if page.place is not None and page.place.largest_tile > _MAX_TILE_PIXELS:
        raise BadImageError(
            f"{name} has tiles of {page.place.largest_tile} pixels; up to {_MAX_TILE_PIXELS} are "
            "accepted: save it with smaller ones"
        )
