"""Checking and decoding of the image of a request."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.errors import BadImageError, DamagedImageError
from tritonpose_pipeline.file_formats import (
    SUPPORTED_FORMATS,
    ImageHeader,
    describe_content,
    first_webp_frame,
    identify_format,
    is_animated_webp,
    read_header,
    still_png,
)
from tritonpose_pipeline.limits import Limits

Image = npt.NDArray[np.uint8]

_MAX_SIDE = 32767  # OpenCV's warpAffine addresses source pixels with 16-bit integers

# Each scan of a progressive JPEG passes over the whole image; encoders write about ten.
_MAX_SCANS = 100


class EncodedImage(NamedTuple):
    """An image file whose header has been read, not decoded yet.

    Attributes:
        format: ``"JPEG"``, ``"PNG"``, ``"WebP"`` or ``"BMP"``.
        header: What its header says.
        data: The file's bytes.
    """

    format: str
    header: ImageHeader
    data: bytes

    @property
    def pixels(self) -> int:
        """Count the pixels that it has according to its header."""
        return self.header.width * self.header.height


def copy_file(tensor: npt.NDArray[np.uint8], limits: Limits) -> bytes:
    """Copy an encoded image, unless it is too large to be looked at.

    Args:
        tensor: uint8 ``[N]``, the file's bytes.
        limits: Bounds on its size.

    Raises:
        BadImageError: It has too many bytes.
    """
    if tensor.size > limits.max_image_bytes:
        raise BadImageError(
            f"`image` has {tensor.size} bytes; up to {limits.max_image_bytes} (max_image_bytes) "
            "are accepted: compress or downscale it first"
        )
    return tensor.tobytes()


def check_file(data: bytes, limits: Limits | None = None) -> EncodedImage:
    """Check an encoded image by its first bytes, without decoding it.

    Args:
        data: The file's bytes.
        limits: Bounds on the size of the image; None for those of OpenCV alone.

    Raises:
        BadImageError: The bytes are empty, of another format, garbled, or the image would be too
            large.
    """
    if not data:
        raise BadImageError("`image` is empty: send the bytes of an image file")
    name = identify_format(data[:16])
    if name is None:
        raise BadImageError(
            f"`image` is not an image the server decodes: it is {describe_content(data)}; "
            f"send the bytes of a {SUPPORTED_FORMATS} file"
        )
    header = read_header(data, name)
    if header is None:
        raise BadImageError(_damage(data, name))
    if header.scans > _MAX_SCANS:
        raise BadImageError(
            f"`image` is a progressive JPEG of {header.scans} scans; up to {_MAX_SCANS} are "
            "accepted: save it as a baseline JPEG"
        )
    _check_size(header.width, header.height, limits)
    return EncodedImage(name, header, data)


def decode_image(image: EncodedImage) -> Image:
    """Decode an encoded image as PaddleX reads image files.

    Args:
        image: The file.

    Returns:
        Pixels, uint8 ``[H, W, 3]``, BGR; EXIF orientation of JPEG and PNG applied, alpha
        dropped, 16-bit samples reduced to 8 bits (``cv2.IMREAD_COLOR``). Of an animation, the
        still picture or first frame.

    Raises:
        DamagedImageError: The bytes can't be decoded.
    """
    try:
        if image.format == "WebP" and is_animated_webp(image.data):
            pixels = _decode_animation(image)
        else:
            pixels = _decode_still(still_png(image.data) if image.format == "PNG" else image.data)
    except cv2.error as error:
        raise DamagedImageError(
            f"`image` can't be decoded as {image.format}: {error.err}"
        ) from error
    if pixels is None:
        raise DamagedImageError(_damage(image.data, image.format))
    return pixels


def check_frame(image: npt.NDArray[np.uint8], limits: Limits) -> Image:
    """Check that a decoded image can be processed.

    Args:
        image: uint8 ``[H, W, 3]``, BGR.
        limits: Bounds on its size.

    Returns:
        The same array.

    Raises:
        BadImageError: It is not three-channel, has no pixels, or is too large.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise BadImageError(
            f"`frame` must be uint8 [height, width, 3] in BGR order, got shape {list(image.shape)}"
        )
    height, width = image.shape[:2]
    if height == 0 or width == 0:
        raise BadImageError(f"`frame` has no pixels: it is {width}x{height}")
    _check_size(width, height, limits)
    return image


def _decode_still(data: bytes | None) -> Image | None:
    if data is None:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _decode_animation(image: EncodedImage) -> Image | None:
    """Decode the first frame of a WebP, on its canvas."""
    canvas = image.header
    frame = first_webp_frame(image.data, canvas)
    picture = None if frame is None else _decode_still(frame.file)
    if frame is None or picture is None:
        return None
    height, width = picture.shape[:2]
    if (width, height) == canvas[:2]:
        return picture
    pixels = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    pixels[frame.y : frame.y + height, frame.x : frame.x + width] = picture
    return pixels


def _check_size(width: int, height: int, limits: Limits | None) -> None:
    if max(height, width) > _MAX_SIDE:
        raise BadImageError(
            f"the image is {width}x{height}; sides up to {_MAX_SIDE} pixels are supported: "
            "downscale it first"
        )
    if limits is not None and width * height > limits.max_pixels:
        raise BadImageError(
            f"the image is {width}x{height}, {width * height} pixels; up to {limits.max_pixels} "
            "(max_pixels) are accepted: downscale it first"
        )


def _damage(data: bytes, name: str) -> str:
    return (
        f"`image` begins like a {name} file but can't be decoded: "
        f"the {len(data)} bytes are truncated or corrupt"
    )
