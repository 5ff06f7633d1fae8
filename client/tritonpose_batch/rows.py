"""From a result of the client to a row of a table."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.lazy_image import EncodedImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.result import KeypointResult

_EXIF_ORIENTATION = 0x0112
_LYING = range(5, 9)
# The formats whose orientation OpenCV applies; MPO is a JPEG with further pictures.
_TURNED = ("JPEG", "MPO", "PNG")


def row_of(item: int, path: str, result: KeypointResult) -> dict[str, Any]:
    """Makes a row of `tritonpose_batch.part.SCHEMA`.

    Args:
        item: Number of the input in the job.
        path: Its address.
        result: What the client made of it, or of one of its pages or frames.
    """
    row: dict[str, Any] = {
        "item": item,
        "path": path,
        "page_index": result.get("page_index"),
        "frame_index": result.get("frame_index"),
        "error_class": None,
        "error_message": None,
    }
    row["width"], row["height"] = image_size(result.held_image())
    if result.error is not None:
        # Nothing is known of the persons, which is not the same as that there are none.
        row |= {"error_class": type(result.error).__name__, "error_message": str(result.error)}
        return row
    people = result["boxes"]
    return row | {
        "boxes": [np.asarray(person["coordinate"], np.float32) for person in people],
        "det_scores": [person["det_score"] for person in people],
        "keypoints": [person["keypoints"].tolist() for person in people],
        "kpt_scores": [person["kpt_score"] for person in people],
        "truncated": result.get("truncated", False),
    }


def image_size(image: EncodedImage | NDArray[np.uint8] | None) -> tuple[int | None, int | None]:
    """The size of an image, without decoding it.

    Args:
        image: An encoded file, a decoded image, or None.

    Returns:
        Width and height in pixels, EXIF orientation applied as by the server; None each where it
        can't be told.
    """
    if image is None:
        return None, None
    if isinstance(image, np.ndarray):
        return image.shape[1], image.shape[0]
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Of large images: nothing is decoded here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image.data)) as opened:
                width, height = opened.size
                turned = opened.format in _TURNED
                lying = turned and opened.getexif().get(_EXIF_ORIENTATION) in _LYING
    except Exception:
        # Pillow raises all kinds of errors; the server, which can read the image, decides.
        return None, None
    return (height, width) if lying else (width, height)
