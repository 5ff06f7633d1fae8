"""Decoding of encoded images and checking of decoded ones."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.errors import BadImageError, DamagedImageError
from tritonpose_pipeline.formats import SUPPORTED_FORMATS, describe_content, identify_format
from tritonpose_pipeline.headers import Header, read_header
from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.png_chunks import still_picture
from tritonpose_pipeline.webp_frames import first_frame, is_animated

Image = npt.NDArray[np.uint8]

_MAX_SIDE = 32767  # OpenCV's warpAffine addresses source pixels with 16-bit integers

# Each scan of a progressive JPEG passes over the whole image; encoders write about ten.
_MAX_SCANS = 100


def copy_file(tensor: npt.NDArray[np.uint8], limits: Limits) -> bytes:
    """Copy an encoded image, unless it is too large to be looked at.

    Args:
        tensor: uint8 ``[N]``, the file's bytes.
        limits: Bounds on its size.

    Raises:
        BadImageError: It has too many bytes.
    """
    _check_length(tensor.size, limits)
    return tensor.tobytes()


def check_file(data: bytes, limits: Limits) -> Header:
    """Check an encoded image by its first bytes, without decoding it.

    Args:
        data: The file's bytes.
        limits: Bounds on its size.

    Returns:
        What its header says.

    Raises:
        BadImageError: The bytes are empty, too many, of another format, garbled, or the
            image would be too large.
    """
    if not data:
        raise BadImageError("`image` is empty: send the bytes of an image file")
    _check_length(len(data), limits)
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
    return header


def decode_image(data: bytes) -> Image:
    """Decode an encoded image as PaddleX reads image files.

    Args:
        data: The file's bytes, which passed `check_file`.

    Returns:
        Pixels, uint8 ``[H, W, 3]``, BGR; EXIF orientation of JPEG and PNG applied, alpha
        dropped, 16-bit samples reduced to 8 bits (``cv2.IMREAD_COLOR``). Of an animation, the
        still picture or first frame.

    Raises:
        DamagedImageError: The bytes can't be decoded.
    """
    name = identify_format(data[:16]) or "image"
    try:
        if name == "WebP" and is_animated(data):
            image = _decode_animation(data)
        else:
            image = _decode_still(still_picture(data) if name == "PNG" else data)
    except cv2.error as error:
        raise DamagedImageError(f"`image` can't be decoded as {name}: {error.err}") from error
    if image is None:
        raise DamagedImageError(_damage(data, name))
    return image


def _decode_still(data: bytes | None) -> Image | None:
    if data is None:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _decode_animation(data: bytes) -> Image | None:
    """The first frame of a WebP, on its canvas."""
    frame = first_frame(data)
    canvas = read_header(data, "WebP")
    if frame is None or canvas is None:
        return None
    picture = _decode_still(frame.file)
    if picture is None:
        return None
    height, width = picture.shape[:2]
    if (width, height) == canvas[:2]:
        return picture
    image = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    image[frame.y : frame.y + height, frame.x : frame.x + width] = picture
    return image


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


def _check_length(length: int, limits: Limits) -> None:
    if length > limits.max_image_bytes:
        raise BadImageError(
            f"`image` has {length} bytes; up to {limits.max_image_bytes} (max_image_bytes) are "
            "accepted: compress or downscale it first"
        )


def _check_size(width: int, height: int, limits: Limits) -> None:
    if max(height, width) > _MAX_SIDE:
        raise BadImageError(
            f"the image is {width}x{height}; sides up to {_MAX_SIDE} pixels are supported: "
            "downscale it first"
        )
    if width * height > limits.max_pixels:
        raise BadImageError(
            f"the image is {width}x{height}, {width * height} pixels; up to {limits.max_pixels} "
            "(max_pixels) are accepted: downscale it first"
        )


def _damage(data: bytes, name: str) -> str:
    return (
        f"`image` begins like a {name} file but can't be decoded: "
        f"the {len(data)} bytes are truncated or corrupt"
    )
