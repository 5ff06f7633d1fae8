"""Draw what PaddleX doesn't: people's boxes, with their ids and scores."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_NOBODY = (128, 128, 128)


def draw_labels(
    canvas: NDArray[np.uint8],
    people: PoseResponse,
    *,
    boxes: bool,
    scores: bool,
    ids: bool,
    numbers: Sequence[int | None] | None = None,
) -> None:
    """Draw boxes of all people, and their scores and ids as labels, on BGR, in place.

    The ``numbers``, ids or by default the people's indices, choose the colors; None is somebody
    without an id, in gray.
    """
    side = min(canvas.shape[:2])
    if numbers is None:
        numbers = range(len(people.boxes))
    if boxes:
        for number, box in zip(numbers, people.boxes.tolist(), strict=True):
            left, top, right, bottom = map(round, box)
            color = person_color(number)
            cv2.rectangle(canvas, (left, top), (right, bottom), color, line_width(canvas))
    if not (scores or ids):
        return
    height = max(_MIN_TEXT_HEIGHT, round(side * _TEXT_HEIGHT))
    # After all boxes, so that none crosses out a label; the surest person's label on top.
    for index, box in reversed(list(enumerate(people.boxes.tolist()))):
        number = numbers[index]
        named = ids and number is not None
        parts = [str(number)] * named + [f"{people.det_scores[index]:.2f}"] * scores
        left, top = map(round, box[:2])
        if parts:
            _write(canvas, ": ".join(parts), (left, top), height, person_color(number))


def line_width(canvas: NDArray[np.uint8]) -> int:
    """Choose how wide lines are on an image of this size, in pixels."""
    return max(1, round(min(canvas.shape[:2]) * _LINE_WIDTH))


def person_color(number: int | None) -> tuple[int, int, int]:
    """Choose the color, BGR, of the person of this number; of one without a number it is gray."""
    if number is None:
        return _NOBODY
    red, green, blue = colorsys.hsv_to_rgb(number * _HUE_STEP % 1, 0.85, 1)
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
