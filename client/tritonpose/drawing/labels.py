"""Draw what PaddleX doesn't: people's boxes, with their numbers and scores."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tritonpose.transport.messages import PoseResponse

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Of the image's shorter side, but no less than can be read.
_TEXT_HEIGHT, _MIN_TEXT_HEIGHT = 1 / 45, 10
_LINE_WIDTH = 1 / 300
# The golden ratio's fraction: hues of neighbors in the list differ most at any length of it.
_HUE_STEP = 0.618034
# Weights of blue, green and red in how bright a color looks (ITU-R BT.601).
_LUMA = (0.114, 0.587, 0.299)


def draw_labels(
    canvas: NDArray[np.uint8],
    people: PoseResponse,
    *,
    boxes: bool,
    scores: bool,
    ids: bool,
) -> None:
    """Draw boxes of all people, and their scores and indices as labels, on BGR, in place."""
    side = min(canvas.shape[:2])
    if boxes:
        for index, box in enumerate(people.boxes.tolist()):
            left, top, right, bottom = map(round, box)
            width = max(1, round(side * _LINE_WIDTH))
            cv2.rectangle(canvas, (left, top), (right, bottom), person_color(index), width)
    if not (scores or ids):
        return
    height = max(_MIN_TEXT_HEIGHT, round(side * _TEXT_HEIGHT))
    # After all boxes, so that none crosses out a label; the surest person's label on top.
    for index, box in reversed(list(enumerate(people.boxes.tolist()))):
        parts = [str(index)] * ids + [f"{people.det_scores[index]:.2f}"] * scores
        left, top = map(round, box[:2])
        _write(canvas, ": ".join(parts), (left, top), height, person_color(index))


def person_color(index: int) -> tuple[int, int, int]:
    """Choose the color, BGR, of the person of this index."""
    red, green, blue = colorsys.hsv_to_rgb(index * _HUE_STEP % 1, 0.85, 1)
    return round(blue * 255), round(green * 255), round(red * 255)


def _write(
    canvas: NDArray[np.uint8],
    text: str,
    corner: tuple[int, int],
    height: int,
    color: tuple[int, int, int],
) -> None:
    """Write a label above a box's left upper corner, or below it where the image ends, in place.

    The corner is x and y, the height of the letters in pixels, the color BGR, of the background.
    """
    stroke = max(1, round(height / 10))
    margin = max(2, height // 4)
    scale = cv2.getFontScaleFromHeight(_FONT, height, stroke)
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, scale, stroke)
    width, depth = text_width + 2 * margin, text_height + 2 * margin
    left = max(0, min(corner[0], canvas.shape[1] - width))
    top = corner[1] - depth if corner[1] >= depth else max(0, corner[1])
    last = left + width - 1, top + depth - 1
    cv2.rectangle(canvas, (left, top), last, color, thickness=-1)
    luma = sum(weight * value for weight, value in zip(_LUMA, color, strict=True))
    ink = (0, 0, 0) if luma > 127 else (255, 255, 255)
    origin = (left + margin, top + margin + text_height)
    cv2.putText(canvas, text, origin, _FONT, scale, ink, stroke, cv2.LINE_AA)
