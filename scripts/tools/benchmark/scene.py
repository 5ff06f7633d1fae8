"""Frames of a made scene: people of a photo sway; no two frames are equal."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.errors import ToolError
from tritonpose.result import KeypointResult

WIDTH, HEIGHT = 640, 360
PEOPLE = 3
COUNT = 300
"""Frames until the scene begins again: long enough to tell which of equal numbers is meant."""

_BITS = 9
_BLOCK = 8
_SWAY = 25.0
_PERSON_HEIGHT = 230
_QUALITY = 85


def write_scene(photo: NDArray[np.uint8], found: KeypointResult, directory: Path) -> None:
    """Write the frames as JPEG files; ToolError: nobody is in the photo."""
    boxes = found.arrays.boxes[:PEOPLE]
    if not len(boxes):
        raise ToolError("there is nobody in the first image: give another one with --images")
    cutouts = [_cut(photo, boxes[number % len(boxes)], number) for number in range(PEOPLE)]
    background = cv2.GaussianBlur(cv2.resize(photo, (WIDTH, HEIGHT)), (0, 0), 25)
    for number in range(COUNT):
        frame = background.copy()
        for person, cutout in enumerate(cutouts):
            height, width = cutout.shape[:2]
            sway = _SWAY * math.sin(2 * math.pi * (number / COUNT * 5 + person / PEOPLE))
            left = round((person + 0.5) * WIDTH / PEOPLE - width / 2 + sway)
            left = min(max(left, 0), WIDTH - width)
            top = (HEIGHT - height) // 2
            frame[top : top + height, left : left + width] = cutout
        for bit in range(_BITS):
            shade = 255 * (number >> bit & 1)
            frame[:_BLOCK, bit * _BLOCK : (bit + 1) * _BLOCK] = shade
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        (directory / f"{number:04d}.jpg").write_bytes(data.tobytes())


def _cut(photo: NDArray[np.uint8], box: NDArray[np.float32], number: int) -> NDArray[np.uint8]:
    """Cut a person out with some margin; mirrored for each second one."""
    x1, y1, x2, y2 = box.tolist()
    margin = 0.05 * (y2 - y1)
    top, left = max(0, int(y1 - margin)), max(0, int(x1 - margin))
    cutout = photo[top : int(y2 + margin), left : int(x2 + margin)]
    height = _PERSON_HEIGHT
    width = min(round(cutout.shape[1] * height / cutout.shape[0]), WIDTH // PEOPLE - 60)
    scaled = cv2.resize(cutout, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled[:, ::-1] if number % 2 else scaled, np.uint8)
