"""Draw poses exactly as PaddleX does, pixel for pixel.

PaddleX blends the whole image once per limb and person. A blend changes nothing outside the
polygon it fills (0.4 v + 0.6 v rounds back to v for all 256 values), so only the polygon's
bounding rectangle is blended here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tritonpose.coco import COCO_SKELETON, VISIBLE_SCORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_JOINT_RADIUS = 2
_LIMB_HALF_WIDTH = 1
_CANVAS_WEIGHT, _LIMB_WEIGHT = 0.4, 0.6
_LIMB_STARTS, _LIMB_ENDS = (list(joints) for joints in zip(*COCO_SKELETON, strict=True))

# Steps around the hue circle, one per joint and one per limb; PaddleX passes them to OpenCV as
# BGR.
COLORS_BGR = (
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
    """Draw the joints and limbs of all people on a copy of the image.

    Args:
        image: (H, W, 3) uint8, BGR. Not changed.
        keypoints: (N, 17, 3) float32: x, y in pixels of ``image``, score; COCO order. N may
            be 0.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    canvas = np.array(image, order="C")
    # Joint by joint and limb by limb over all people, not person by person: where people
    # overlap, the order of drawing shows. Python's own numbers are drawn, as OpenCV takes them
    # several times faster than NumPy's.
    for people, color in zip(keypoints.swapaxes(0, 1), COLORS_BGR, strict=True):
        for x, y in people[people[:, 2] >= VISIBLE_SCORE, :2].astype(int).tolist():
            cv2.circle(canvas, (x, y), _JOINT_RADIUS, color, thickness=-1)
    starts = keypoints[:, _LIMB_STARTS].swapaxes(0, 1)
    ends = keypoints[:, _LIMB_ENDS].swapaxes(0, 1)
    # Differences and middles in float32, as in PaddleX: their last bit can count below.
    deltas = (starts - ends)[..., :2]
    middles = ((starts + ends) / np.float32(2))[..., :2].astype(int)
    visible = np.minimum(starts[..., 2], ends[..., 2]) >= VISIBLE_SCORE
    for limb, color in enumerate(COLORS_BGR):
        drawn = visible[limb]
        for middle, delta in zip(
            middles[limb, drawn].tolist(), deltas[limb, drawn].tolist(), strict=True
        ):
            _blend_limb(canvas, middle, delta, color)
    return canvas


def _blend_limb(
    canvas: NDArray[np.uint8],
    middle: Sequence[int],
    delta: Sequence[float],
    color: tuple[int, int, int],
) -> None:
    """Blend a limb, a thin filled ellipse, into the canvas, in place.

    Args:
        canvas: (H, W, 3) uint8, BGR.
        middle: x and y between its joints in pixels; may lie outside the canvas.
        delta: Difference of the joints' x and y in pixels.
        color: BGR.
    """
    dx, dy = delta
    half_length = int(math.sqrt(dx * dx + dy * dy) / 2)
    angle = int(math.degrees(math.atan2(dy, dx)))
    outline = cv2.ellipse2Poly(middle, (half_length, _LIMB_HALF_WIDTH), angle, 0, 360, 1)
    polygon = np.asarray(outline, dtype=np.int32)
    left, top, width, height = cv2.boundingRect(polygon)
    # Slices end at the canvas's edges by themselves, but would wrap around before its start.
    region = canvas[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    before = region.copy()
    cv2.fillConvexPoly(canvas, polygon, color)
    cv2.addWeighted(before, _CANVAS_WEIGHT, region, _LIMB_WEIGHT, 0, dst=region)
