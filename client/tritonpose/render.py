"""Drawing poses exactly as PaddleX does, pixel for pixel.

PaddleX blends the whole image once per limb and person. A blend changes nothing outside the
polygon it fills (0.4 v + 0.6 v rounds back to v for all 256 values), so only the polygon's
bounding rectangle is blended here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tritonpose.coco import COCO_SKELETON

if TYPE_CHECKING:
    from numpy.typing import NDArray

VISIBLE_SCORE = 0.1
"""Keypoints scored below this are not drawn, nor are limbs that end in one."""

_JOINT_RADIUS = 2
_LIMB_HALF_WIDTH = 1
_CANVAS_WEIGHT, _LIMB_WEIGHT = 0.4, 0.6

# Steps round the hue circle, one per joint and one per limb; PaddleX hands them to OpenCV as
# BGR.
_COLOURS = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
)


def draw_poses(image: NDArray[np.uint8], keypoints: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draws the joints and limbs of all people on a copy of the image.

    Args:
        image: (H, W, 3) uint8, BGR. Not changed.
        keypoints: (N, 17, 3) float32: x, y in pixels of ``image``, score; COCO order. N may
            be 0.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    canvas = image.copy()
    # Joint by joint and limb by limb over all people, not person by person: where people
    # overlap, the order of drawing shows.
    for joint, colour in enumerate(_COLOURS):
        for x, y, score in keypoints[:, joint]:
            if score >= VISIBLE_SCORE:
                cv2.circle(canvas, (int(x), int(y)), _JOINT_RADIUS, colour, thickness=-1)
    for (start, end), colour in zip(COCO_SKELETON, _COLOURS, strict=True):
        for person in keypoints:
            if min(person[start, 2], person[end, 2]) >= VISIBLE_SCORE:
                _blend_polygon(canvas, limb_polygon(person[start, :2], person[end, :2]), colour)
    return canvas


def limb_polygon(start: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.int32]:
    """Outlines a limb as a thin ellipse.

    Args:
        start: (2,) float32, x and y of one joint in pixels.
        end: (2,) float32, x and y of the other.

    Returns:
        (P, 2) int32 vertices, x and y in pixels; they may lie outside the image.
    """
    # Differences and middle in float32, then double, as in PaddleX: int() below makes the
    # last bit count.
    dx, dy = (float(value) for value in start - end)
    middle_x, middle_y = (int(value) for value in (start + end) / np.float32(2))
    length = math.sqrt(dx * dx + dy * dy)
    angle = math.degrees(math.atan2(dy, dx))
    polygon = cv2.ellipse2Poly(
        (middle_x, middle_y), (int(length / 2), _LIMB_HALF_WIDTH), int(angle), 0, 360, 1
    )
    return np.asarray(polygon, dtype=np.int32)


def _blend_polygon(
    canvas: NDArray[np.uint8], polygon: NDArray[np.int32], colour: tuple[int, int, int]
) -> None:
    """Blends a filled polygon into the canvas, in place.

    Args:
        canvas: (H, W, 3) uint8, BGR.
        polygon: (P, 2) int32 vertices, x and y in pixels of ``canvas``.
        colour: BGR.
    """
    height, width = canvas.shape[:2]
    left, top = np.maximum(polygon.min(axis=0), 0)
    right, bottom = np.minimum(polygon.max(axis=0) + 1, (width, height))
    if left >= right or top >= bottom:
        return
    region = canvas[top:bottom, left:right]
    layer = region.copy()
    cv2.fillConvexPoly(layer, polygon - np.array((left, top), dtype=np.int32), colour)
    region[...] = cv2.addWeighted(region, _CANVAS_WEIGHT, layer, _LIMB_WEIGHT, 0)
