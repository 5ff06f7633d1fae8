"""Decoding of encoded images and checking of decoded ones."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from topdown.errors import InvalidRequestError

Image = npt.NDArray[np.uint8]

SUPPORTED_FORMATS = "JPEG, PNG, WebP or BMP"

_MAX_SIDE = 32767  # OpenCV's warpAffine addresses source pixels with 16-bit integers


def decode_image(data: npt.NDArray[np.uint8]) -> Image:
    """Decode an encoded image as PaddleX reads image files.

    Args:
        data: The file's bytes, uint8 ``[L]``.

    Returns:
        Pixels, uint8 ``[H, W, 3]``, BGR; EXIF orientation of JPEG and PNG applied, alpha
        dropped, 16-bit samples reduced to 8 bits (``cv2.IMREAD_COLOR``).

    Raises:
        InvalidRequestError: The bytes are empty, of another format, or can't be decoded.
    """
    head = data[:16].tobytes()
    if not head:
        raise InvalidRequestError("`image` is empty: send the bytes of an image file")
    name = identify_format(head)
    if name is None:
        raise InvalidRequestError(
            f"`image` is not an image the server decodes: it is {describe_content(data)}; "
            f"send the bytes of a {SUPPORTED_FORMATS} file"
        )
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InvalidRequestError(f"`image` can't be decoded as {name}: {error.err}") from error
    if image is None:
        raise InvalidRequestError(
            f"`image` begins like a {name} file but can't be decoded: "
            f"the {data.size} bytes are truncated or corrupt"
        )
    return check_image(np.asarray(image, dtype=np.uint8))


def check_image(image: npt.NDArray[np.uint8]) -> Image:
    """Check that a decoded image can be processed.

    Args:
        image: uint8 ``[H, W, 3]``, BGR.

    Returns:
        The same array.

    Raises:
        InvalidRequestError: It is not three-channel, has no pixels, or a side is too long.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InvalidRequestError(
            f"`frame` must be uint8 [height, width, 3] in BGR order, got shape {list(image.shape)}"
        )
    height, width = image.shape[:2]
    if height == 0 or width == 0:
        raise InvalidRequestError(f"`frame` has no pixels: it is {width}x{height}")
    if max(height, width) > _MAX_SIDE:
        raise InvalidRequestError(
            f"the image is {width}x{height}; sides up to {_MAX_SIDE} pixels are supported: "
            "downscale it first"
        )
    return image


def identify_format(head: bytes) -> str | None:
    """Name the supported image format that a file beginning with ``head`` has, if any.

    Args:
        head: At least the first 16 bytes of the file.

    Returns:
        ``"JPEG"``, ``"PNG"``, ``"WebP"``, ``"BMP"`` or None.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    # With the header chunk: without one, OpenCV trusts any length it finds there.
    if head.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM"):
        return "BMP"
    return None


def describe_content(data: npt.NDArray[np.uint8]) -> str:
    """Say in a few words what bytes that are no supported image seem to be.

    Args:
        data: The bytes, uint8 ``[L]``.

    Returns:
        A noun phrase for an error message.
    """
    head = data[:512].tobytes()
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "a GIF file"
    if head[:4] in (b"II*\x00", b"MM\x00*"):
        return "a TIFF file"
    if head[4:8] == b"ftyp":
        return "an ISO media file (HEIC, AVIF or video)"
    if head.startswith(b"%PDF"):
        return "a PDF file"
    if head.startswith(b"PK\x03\x04"):
        return "a ZIP archive"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:5].lower().startswith((b"<svg", b"<?xml", b"<html", b"<!doc")):
        return "markup text (SVG, XML or HTML)"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) and any(b < 128 for b in head):
        return f"text, beginning with {text[:24].decode('utf-8', 'replace')!r}"
    return f"{data.size} bytes of an unknown format, beginning with {head[:8].hex(' ')}"
