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

from tritonpose.drawing import VISIBLE_SCORE
from tritonpose_pipeline.keypoint_schema import default_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tritonpose_pipeline.keypoint_schema import KeypointSchema

_JOINT_RADIUS = 2
_LIMB_HALF_WIDTH = 1
_CANVAS_WEIGHT, _LIMB_WEIGHT = 0.4, 0.6


def draw_poses(
    image: NDArray[np.uint8], keypoints: NDArray[np.float32], schema: KeypointSchema | None = None
) -> NDArray[np.uint8]:
    """Draw the joints and limbs of all people on a copy of the image.

    Args:
        image: (H, W, 3) uint8, BGR. Not changed.
        keypoints: (N, K, 3) float32: x, y in pixels of ``image``, score. N may be 0.
        schema: The K keypoints' limbs and colors; by default COCO's if there are 17, else points
            without limbs.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    if schema is None:
        schema = default_schema(keypoints.shape[1])
    canvas = np.array(image, order="C")
    # Joint by joint and limb by limb over all people, not person by person: where people
    # overlap, the order of drawing shows. Python's own numbers are drawn, as OpenCV takes them
    # several times faster than NumPy's.
    for joint, people in enumerate(keypoints.swapaxes(0, 1)):
        color = schema.color(joint)[::-1]
        for x, y in people[people[:, 2] >= VISIBLE_SCORE, :2].astype(int).tolist():
            cv2.circle(canvas, (x, y), _JOINT_RADIUS, color, thickness=-1)
    limbs = np.array(schema.skeleton, np.intp).reshape(-1, 2)
    starts, ends = (keypoints[:, joints].swapaxes(0, 1) for joints in limbs.T)
    # Differences and middles in float32, as in PaddleX: their last bit can count below.
    deltas = (starts - ends)[..., :2]
    middles = ((starts + ends) / np.float32(2))[..., :2].astype(int)
    visible = np.minimum(starts[..., 2], ends[..., 2]) >= VISIBLE_SCORE
    for limb, drawn in enumerate(visible):
        color = schema.color(limb)[::-1]
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
    """Blend a limb, a thin filled ellipse, into the canvas, in place; the color is BGR.

    It lies around the middle between its joints, x and y in pixels, which may be outside; delta is
    the difference of the joints.
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
