"""See where a scene ends, by frames or by people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from tritonpose.tracking.appearance import color_similarities
from tritonpose.tracking.association import pose_similarities, shape_similarities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tritonpose.tracking.tracks import Track

    Array = NDArray[np.float64]

# Frames are compared in this size, made of few of their pixels: all of them take long to add up.
_THUMB = (16, 9)
_SAMPLED = 128
# Correlation of the gray values of two frames of one scene; it doesn't change with the light.
_CORRELATED = 0.55
# Deviation of their difference, in gray levels, under which there is only noise to compare.
_FAINT = 12.0

# Poses of one person that are less alike, in place or laid upon each other, change in a cut only;
# and that of several people at once, within this time.
_SAME_PLACE, _SAME_SHAPE = 0.5, 0.8
_OWN_SHAPE, _OWN_COLORS = 0.9, 0.6
_SEVERAL = 2
_AT_ONCE_S = 0.25


class SceneCuts:
    """Compares each frame of a source with the one before."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None

    def sees(self, image: NDArray[np.uint8]) -> bool:
        """Whether a frame, (H, W, 3), has little in common with the one before."""
        step = max(min(image.shape[:2]) // _SAMPLED, 1)
        few = np.ascontiguousarray(image[::step, ::step])
        small = cv2.resize(few, _THUMB, interpolation=cv2.INTER_AREA)
        thumb = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)
        thumb -= thumb.mean()
        before, self._before = self._before, thumb
        if before is None or float((thumb - before).std()) < _FAINT:
            return False
        contrast = float(np.sqrt((thumb**2).sum() * (before**2).sum()))
        return float((thumb * before).sum()) <= _CORRELATED * contrast


def is_new_scene(
    looks_new: bool | None,
    tracks: Sequence[Track],
    keypoints: Array,
    colors: Array,
    sigmas: Array,
    step: float,
) -> bool:
    """Whether a frame shows another scene than the one ``step`` seconds before.

    Its people have ``keypoints``, (N, K, 3), and ``colors``, (N, L, 4). However new it looks, it
    shows the same scene where somebody is where expected, or has the pose and colors of before:
    large people move before plain walls. Where nobody knows how it looks, the people tell; but one
    pose may go wrong, so of less than two people nothing is said.
    """
    seen = [track for track in tracks if not track.lost]
    fewer = min(len(seen), len(keypoints))
    if looks_new is False or (looks_new is None and (fewer < _SEVERAL or step > _AT_ONCE_S)):
        return False
    if not fewer:
        return True
    expected = np.stack([track.expected for track in seen])
    areas = np.array([track.motion.size**2 for track in seen])
    if pose_similarities(expected, keypoints, areas, sigmas).max() >= _SAME_PLACE:
        return False
    shapes = shape_similarities(expected, keypoints, areas, sigmas)
    dressed = color_similarities(np.stack([track.colors for track in seen]), colors)
    if ((shapes >= _OWN_SHAPE) & (dressed >= _OWN_COLORS)).any():
        return False
    return looks_new is True or bool(shapes.max() < _SAME_SHAPE)
