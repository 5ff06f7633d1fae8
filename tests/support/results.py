"""Made-up results."""

from __future__ import annotations

import numpy as np

from poses import people
from tritonpose import KeypointResult
from tritonpose._requests import result_of
from tritonpose.inputs import ImageInput


def made_up_result(
    count: int, path: str | None = "photo.jpg", *, frame_index: int | None = None
) -> KeypointResult:
    """A result with this many people; some of their keypoints score less than 0.1."""
    frame = np.zeros((480, 640, 3), np.uint8)
    return result_of(ImageInput(path, frame, frame_index=frame_index), people(count, seed=count))
