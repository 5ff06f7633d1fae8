"""Decode images by the server's own rules, so that pictures, sizes and boxes belong together."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import InputError
from tritonpose.inputs.addresses import masked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.result import Source
    from tritonpose_pipeline.pages import EncodedPage

# Larger ones take longer at any size than to look for people.
_REDUCED, _MOST_PIXELS = 8, 16_000_000

LOGGER = logging.getLogger("tritonpose")


def sources_in(data: bytes, path: str | None) -> list[bytes | EncodedPage]:
    """Find the images in a file: the file itself where the server decodes it, or else its pages.

    Nothing is decoded. InputError: the file at ``path`` holds no image that is read, or a stream of
    them.
    """
    from tritonpose_pipeline.errors import BadImageError
    from tritonpose_pipeline.file_formats import SENT_FORMATS, identify_format, read_header
    from tritonpose_pipeline.pages import find_pages

    name = _name(path)
    if not data:
        raise InputError(f"{name} is empty (0 bytes)", path)
    kind = identify_format(data[:16])
    if kind in SENT_FORMATS:
        header = read_header(data, kind)
        if header is not None and header.several:
            advice = "give each by itself"
            if kind == "JPEG" and path:
                advice = "give it a video's suffix: .mjpeg"
            raise InputError(
                f"{name} holds several {kind} pictures one after the other: {advice}", path
            )
        if header is not None and header.animated:
            LOGGER.warning(
                "%s is animated: only its first frame is read; convert it to MP4 for all", name
            )
        return [data]
    try:
        return [*find_pages(data, name)]
    except BadImageError as error:
        raise InputError(str(error), path) from error


def decode_source(source: bytes | EncodedPage, path: str | None) -> NDArray[np.uint8]:
    """Decode an image that `sources_in` found, or a file that the server decodes.

    Returns (H, W, 3) uint8, BGR, EXIF orientation applied as PaddleX does. InputError, which names
    ``path``, says why it can't be decoded.
    """
    from tritonpose_pipeline.errors import BadRequestError
    from tritonpose_pipeline.image import check_file, decode_image
    from tritonpose_pipeline.pages import decode_page

    name = _name(path)
    try:
        if isinstance(source, bytes):
            return decode_image(check_file(source, name=name), name)
        return decode_page(source, name)
    except BadRequestError as error:
        raise InputError(str(error), path) from error


def check_source(source: bytes, path: str | None) -> None:
    """Decode a file to see whether it can be, if it isn't too large; raises InputError."""
    from tritonpose_pipeline.errors import BadRequestError
    from tritonpose_pipeline.image import check_file
    from tritonpose_pipeline.limits import Limits

    try:
        check_file(source, Limits(workers=1), _name(path))
    except BadRequestError as error:
        raise InputError(str(error), path) from error
    decode_source(source, path)


def decode_small(file: bytes) -> NDArray[np.uint8] | None:
    """Decode a JPEG file at an eighth of its size; None where that can't be or takes too long."""
    from tritonpose_pipeline.errors import BadRequestError
    from tritonpose_pipeline.image import check_file, decode_reduced

    try:
        encoded = check_file(file)
        if encoded.format != "JPEG" or encoded.header.pixels > _MOST_PIXELS:
            return None
        return decode_reduced(encoded, _REDUCED)[0]
    except BadRequestError:
        return None


def size_of(source: Source | None) -> tuple[int, int] | None:
    """Read width and height, in pixels, of what `decode_source` gives, without decoding it.

    None where there is no image, or the header doesn't say.
    """
    from tritonpose_pipeline.file_formats import identify_format, read_header

    if source is None:
        return None
    if isinstance(source, np.ndarray):
        return source.shape[1], source.shape[0]
    if not isinstance(source, bytes):
        return source.header.size
    kind = identify_format(source[:16])
    header = None if kind is None else read_header(source, kind)
    return None if header is None else header.size


def _name(path: str | None) -> str:
    return repr(masked(path)) if path else "the image"
