"""Where to look for people who are followed: their box, from where their keypoints are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_SHOWN = 0.2
"""Lowest score of joints that say where a person is."""

_LEAST_JOINTS = 4

_ROOM = 1.25
"""Sides of a box to those of the keypoints in it, where nobody detected it."""

_SMALLEST = 8.0
"""Side of a region, in pixels."""

_FARTHEST = 1e5
"""In pixels: no region lies beyond."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The people to look for in one frame.

    Attributes:
        keys: Of their tracks.
        boxes: Where they are expected, (N, 4) float32, x1, y1, x2, y2 in pixels.
        coasting: Keys of the tracks of people who are not looked for, as they move as expected.
    """

    keys: tuple[int, ...]
    boxes: NDArray[np.float32]
    coasting: tuple[int, ...] = ()

    def keys_of(self, boxes: NDArray[np.float32]) -> tuple[int, ...]:
        """Return the keys of the boxes that an answer has: a region of interest leaves some out."""
        if len(boxes) == len(self.keys):
            return self.keys
        mine = zip(self.keys, self.boxes, strict=True)
        keys = (next((key for key, own in mine if (own == box).all()), None) for box in boxes)
        return tuple(key for key in keys if key is not None)


def tight_box(keypoints: Array) -> Array:
    """Return the box, x1, y1, x2, y2, of the joints that are shown, (K, 3)."""
    shown = keypoints[keypoints[:, 2] >= _SHOWN]
    points = (shown if len(shown) >= _LEAST_JOINTS else keypoints)[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, _SMALLEST / 2)
    return np.concatenate([middle - half, middle + half])


def margins_of(box: Array, keypoints: Array) -> Array:
    """Return where a detector's box is around a pose, in sides of the pose's own box.

    Detectors leave more room than the keypoints take, above the head for example. ``_ROOM`` bounds
    what a pose with few joints would make of it.
    """
    tight = tight_box(keypoints)
    middle, sides = (tight[:2] + tight[2:]) / 2, tight[2:] - tight[:2]
    margins = (box.reshape(2, 2) - middle) / sides
    usual = np.array([[-0.5], [0.5]]) * _ROOM
    return np.clip(margins, usual - 0.5, usual + 0.5).reshape(4)


def box_around(keypoints: Array, margins: Array) -> Array:
    """Return the box that a detector would give a pose; the inverse of `margins_of`."""
    tight = tight_box(keypoints)
    middle, sides = (tight[:2] + tight[2:]) / 2, tight[2:] - tight[:2]
    corners = middle + margins.reshape(2, 2) * sides
    # Of a pose that went wrong, too.
    corners[1] = np.maximum(corners[1], corners[0] + _SMALLEST)
    return np.clip(corners.reshape(4), -_FARTHEST, _FARTHEST)
