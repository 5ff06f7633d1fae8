"""Checking and decoding of the image of a request."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.errors import BadImageError, DamagedImageError
from tritonpose_pipeline.file_formats import (
    SENT_FORMATS,
    ImageHeader,
    describe_content,
    describe_text,
    identify_format,
    read_header,
)
from tritonpose_pipeline.file_formats.exif import swaps_sides
from tritonpose_pipeline.file_formats.png import still_png
from tritonpose_pipeline.file_formats.webp import first_webp_frame, is_animated_webp
from tritonpose_pipeline.limits import Limits

Image = npt.NDArray[np.uint8]

# OpenCV's remap asserts that sides of its source are below 32767.
_MAX_SIDE = 32766

# Each scan of a progressive JPEG passes over the whole image; encoders write about ten.
_MAX_SCANS = 100

# What messages call a file that a client sent.
_INPUT = "`image`"

# Orientation is read here: which formats OpenCV turns depends on its version.
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

# By how many pixels become one: these flags alone have their own for orientation, too.
_REDUCED = {
    factor: flag | cv2.IMREAD_IGNORE_ORIENTATION
    for factor, flag in (
        (2, cv2.IMREAD_REDUCED_COLOR_2),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (8, cv2.IMREAD_REDUCED_COLOR_8),
    )
}

# What is left to flip of each orientation, once it is transposed where its sides are swapped.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


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


def check_file(data: bytes, limits: Limits | None = None, name: str = _INPUT) -> EncodedImage:
    """Check an encoded image by its header, without decoding it.

    Args:
        data: The file's bytes.
        limits: Bounds on the size of the image; None for those of OpenCV alone.
        name: What messages call the file.

    Raises:
        BadImageError: The bytes are empty, of another format, garbled, hold several pictures, or
            the image would be too large.
    """
    if not data:
        raise BadImageError(f"{name} is empty: send the bytes of an image file")
    kind = identify_format(data[:16])
    if kind not in SENT_FORMATS:
        raise BadImageError(
            f"{name} is not an image the server decodes: it is {describe_content(data)}; "
            f"send the bytes of a {', '.join(SENT_FORMATS[:-1])} or {SENT_FORMATS[-1]} file"
        )
    return EncodedImage(kind, check_header(data, kind, limits, name), data)


def check_header(data: bytes, kind: str, limits: Limits | None, name: str) -> ImageHeader:
    """Check the header of a file of the format ``kind``; arguments and errors of `check_file`."""
    header = read_header(data, kind)
    if header is None:
        raise BadImageError(_damage(data, kind, name))
    if header.several:
        raise BadImageError(
            f"{name} holds several {kind} pictures one after the other, as a camera's stream "
            "does: send each picture by itself"
        )
    if header.scans > _MAX_SCANS:
        raise BadImageError(
            f"{name} is a progressive JPEG of {header.scans} scans; up to {_MAX_SCANS} are "
            "accepted: save it as a baseline JPEG"
        )
    check_size(header.width, header.height, limits, "the image" if name == _INPUT else name)
    return header


def decode_image(image: EncodedImage, name: str = _INPUT) -> Image:
    """Decode an encoded image as PaddleX reads image files, with any version of OpenCV.

    Args:
        image: The file.
        name: What messages call the file.

    Returns:
        Pixels, uint8 ``[H, W, 3]``, BGR; EXIF orientation of JPEG and PNG applied, alpha
        dropped, 16-bit samples reduced to 8 bits (``cv2.IMREAD_COLOR`` of OpenCV 4.10). Of an
        animation, the still picture or first frame.

    Raises:
        BadImageError: OpenCV's environment variables forbid images of its size.
        DamagedImageError: The bytes can't be decoded.
    """
    if image.format == "WebP" and is_animated_webp(image.data):
        pixels = _decode_animation(image, name)
    else:
        still = still_png(image.data) if image.format == "PNG" else image.data
        pixels = None if still is None else decode_stored(still, image.format, name)
    if pixels is None:
        raise DamagedImageError(_damage(image.data, image.format, name))
    return _turned(pixels, image.header.orientation)


def decode_reduced(image: EncodedImage, factor: int) -> tuple[Image, tuple[float, float]]:
    """Decode a JPEG at a fraction of its size; otherwise as `decode_image`.

    Args:
        image: The file.
        factor: 2, 4 or 8: of its pixels, in each direction, that become one.

    Returns:
        Pixels, uint8 ``[h, w, 3]``, BGR, and x, y of the corner of the first of them in pixels of
        the image: below 0 where the picture is turned so that its last pixels, which stand for
        less than a whole square, come first.
    """
    pixels = decode_stored(image.data, image.format, _INPUT, _REDUCED[factor])
    if pixels is None:
        raise DamagedImageError(_damage(image.data, image.format, _INPUT))
    orientation = image.header.orientation
    turned = _turned(pixels, orientation)
    flip = _FLIPS.get(orientation)
    beyond = [
        turned.shape[axis] * factor - side
        for axis, side in zip((1, 0), image.header.size, strict=True)
    ]
    # Mirrored along x by OpenCV's 1, along y by 0, along both by -1.
    x = -beyond[0] if flip in (1, -1) else 0
    y = -beyond[1] if flip in (0, -1) else 0
    return turned, (float(x), float(y))


def decode_stored(
    data: bytes | bytearray, kind: str, name: str, flags: int = _FLAGS
) -> Image | None:
    """Decode a file as its pixels are stored; None where OpenCV can't. Raises as `decode_image`."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise BadImageError(
                f"{name} is larger than the environment variables OPENCV_IO_MAX_IMAGE_WIDTH, "
                "_HEIGHT and _PIXELS allow OpenCV to decode: unset them"
            ) from error
        raise DamagedImageError(f"{name} can't be decoded as {kind}: {error.err}") from error
    return None if image is None else np.asarray(image, dtype=np.uint8)


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
    check_size(width, height, limits)
    return image


def _turned(image: Image, orientation: int) -> Image:
    """Turn a stored picture by its EXIF orientation, in place as far as that can be done."""
    if swaps_sides(orientation):
        image = np.asarray(cv2.transpose(image), np.uint8)
    flip = _FLIPS.get(orientation)
    return image if flip is None else np.asarray(cv2.flip(image, flip, dst=image), np.uint8)


def _decode_animation(image: EncodedImage, name: str) -> Image | None:
    """Decode the first frame of a WebP, on its canvas."""
    canvas = image.header
    frame = first_webp_frame(image.data, canvas)
    picture = None if frame is None else decode_stored(frame.file, "WebP", name)
    if frame is None or picture is None:
        return None
    height, width = picture.shape[:2]
    if (width, height) == canvas[:2]:
        return picture
    pixels = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    pixels[frame.y : frame.y + height, frame.x : frame.x + width] = picture
    return pixels


def check_size(width: int, height: int, limits: Limits | None, name: str = "the image") -> None:
    """Raise BadImageError for an image that is too large, width and height in pixels."""
    if max(height, width) > _MAX_SIDE:
        raise BadImageError(
            f"{name} is {width}x{height}; sides up to {_MAX_SIDE} pixels are supported: "
            "downscale it first"
        )
    if limits is not None and width * height > limits.max_pixels:
        raise BadImageError(
            f"{name} is {width}x{height}, {width * height} pixels; up to {limits.max_pixels} "
            "(max_pixels) are accepted: downscale it first"
        )


def _damage(data: bytes, kind: str, name: str) -> str:
    text = describe_text(data)
    if text is not None:
        return f"{name} begins like a {kind} file but is {text}"
    return (
        f"{name} begins like a {kind} file but can't be decoded: "
        f"the {len(data)} bytes are truncated or corrupt"
    )
