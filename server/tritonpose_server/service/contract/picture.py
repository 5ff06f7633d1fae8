"""The picture of a response."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
from PIL import Image

from tritonpose.drawing.poses import draw_poses
from tritonpose_pipeline.image import decode_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def draw_picture(image: bytes, keypoints: NDArray[np.float32]) -> bytes:
    """Draws poses on an image.

    Args:
        image: An image file that the pipeline has accepted.
        keypoints: (N, 17, 3) float32: x, y in pixels of the decoded image, score.

    Returns:
        A JPEG file, of Pillow's default quality as PaddleX's are.

    Raises:
        DamagedImageError: The image can't be decoded.
    """
    canvas = draw_poses(decode_image(image), keypoints)
    file = io.BytesIO()
    Image.fromarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB)).save(file, format="JPEG")
    return file.getvalue()
