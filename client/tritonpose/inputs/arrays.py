"""Check arrays, and convert Pillow images to such arrays."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from typing_extensions import TypeIs

# Of these, Pillow's older versions read 16 bits as mode I.
_DEEP_FORMATS = ("PNG", "PPM")
_EXPECTED = "an image is (height, width, 3), uint8, BGR"


def checked_frame(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return a BGR image as it is; raise InputError for any other array."""
    if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8 and frame.size:
        return frame.astype(np.uint8, copy=False)
    got = f"got an array of shape {frame.shape}, dtype {frame.dtype}"
    raise InputError(f"{got}: {_EXPECTED}{_hint(frame)}", frame)


def _hint(frame: NDArray[np.generic]) -> str:
    """Say how to convert what people often have instead."""
    channels = frame.shape[-1] if frame.ndim == 3 else 0
    if not frame.size:
        return "; this one has no pixels"
    if frame.ndim == 1 and frame.dtype == np.uint8:
        return "; give the content of a file as bytes: array.tobytes()"
    if frame.ndim == 4:
        return "; give a batch as a list: list(images)"
    if frame.ndim == 3 and frame.shape[0] in (1, 3, 4) and channels not in (1, 3, 4):
        return "; channels come last: image.transpose(1, 2, 0)"
    if frame.dtype.kind == "f":
        if (np.asarray(frame, np.float64) > 1).any():
            return "; convert values of 0 to 255 with image.round().clip(0, 255).astype(np.uint8)"
        return "; convert values of 0 to 1 with (255 * image).round().astype(np.uint8)"
    if frame.dtype.kind == "u" and frame.dtype.itemsize == 2:
        return "; convert 16 bits with (image >> 8).astype(np.uint8)"
    if frame.dtype == np.bool_:
        return "; convert a mask with 255 * image.astype(np.uint8)"
    if frame.ndim == 2 or channels == 1:
        return "; convert gray with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)"
    if channels == 4:
        return "; convert with cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)"
    if channels == 3 and frame.dtype.kind in "iu":
        return "; convert values of 0 to 255 with image.astype(np.uint8)"
    return ""


def is_pillow(value: object) -> TypeIs[Image.Image]:
    """Check whether this is a Pillow image, without importing Pillow for it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def frame_of(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a Pillow image as its file would be decoded.

    Its EXIF orientation is applied, alpha dropped, and 16 bits are reduced to 8. InputError: its
    file is damaged, or its pixels are floating-point numbers or of an unknown range.
    """
    from PIL import Image, ImageOps

    try:
        image.load()
        # As WebP files, which PaddleX doesn't turn.
        upright = image if image.format == "WEBP" else ImageOps.exif_transpose(image)
        if upright.mode == "F":
            raise InputError(
                "got a Pillow image of mode F: convert it to RGB, with values of 0 to 255", image
            )
        if upright.mode == "I" and image.format not in _DEEP_FORMATS:
            raise InputError(
                "got a Pillow image of mode I, whose range of values isn't known: convert it to L "
                "or RGB, with values of 0 to 255",
                image,
            )
        if upright.mode.startswith("I"):
            # Pillow's own conversion would clip what exceeds 255.
            deep: NDArray[Any] = np.asarray(upright).clip(0, 65535)
            upright = Image.fromarray((deep >> 8).astype(np.uint8))
        return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[:, :, ::-1])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"can't read the Pillow image: {error}", image) from error
