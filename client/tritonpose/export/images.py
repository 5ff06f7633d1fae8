"""What annotation tools want to know of a result's image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tritonpose.saving import as_text, last_part

if TYPE_CHECKING:
    from tritonpose.result import KeypointResult


def image_size(result: KeypointResult) -> tuple[int, int]:
    """Return width and height in pixels of the image, which is decoded for it.

    Raises:
        TritonPoseError: The result has an `error`.
    """
    if result.error is not None:
        raise result.error
    height, width = result["input_img"].shape[:2]
    return width, height


def image_name(result: KeypointResult) -> str:
    """Return the name of the input; empty for an array."""
    path = result["input_path"]
    return "" if path is None else as_text(last_part(os.fspath(path)).name)
