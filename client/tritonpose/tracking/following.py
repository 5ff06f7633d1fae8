"""Judge whether people who are followed without a detector are still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tritonpose.tracking.association import pose_similarities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tritonpose.tracking.tracks import Track

    Array = NDArray[np.float64]

# Mean score of the joints that is no reason to look again, whatever it was before.
_CLEAR = 0.5
# Shares of its value at the last detection: a lower one is a reason; a still lower one means that
# nobody is there.
_LESS_CLEAR, _GONE = 0.75, 0.5
# OKS with the expected pose that is no reason to look again.
_AS_EXPECTED = 0.3
# Two regions whose poses are more alike hold one person.
_SAME_POSE = 0.7


def judge(rows: Mapping[int, Track], poses: Array, sigmas: Array) -> tuple[list[int], bool]:
    """Choose the rows of the people who are there, and tell whether a detector should look again.

    ``poses`` are (N, K, 3), which were found in the regions of the tracks.
    """
    clear: list[int] = []
    trouble = False
    for row, track in rows.items():
        area = np.array([track.motion.size**2])
        clarity = float(poses[row, :, 2].mean())
        others = np.concatenate([track.expected[None], poses[clear]])
        alike = pose_similarities(poses[row][None], others, area, sigmas)[0]
        is_twin = bool((alike[1:] >= _SAME_POSE).any())
        unclear = clarity < min(_CLEAR, _LESS_CLEAR * track.clarity)
        trouble |= unclear or is_twin or bool(alike[0] < _AS_EXPECTED)
        if clarity >= _GONE * track.clarity and not is_twin:
            clear.append(row)
    return clear, trouble


def reaches_border(box: Array, size: tuple[int, int] | None) -> bool:
    """Whether a box, (4,), reaches the border of an image of this width and height, if known."""
    if size is None:
        return False
    width, height = size
    return bool(box[:2].min() <= 1 or box[2] >= width - 1 or box[3] >= height - 1)
