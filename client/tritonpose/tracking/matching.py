"""Choose which detections of a frame continue which tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tritonpose.tracking.appearance import color_similarities
from tritonpose.tracking.association import (
    best_pairs,
    box_overlaps,
    pose_similarities,
    shape_similarities,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tritonpose.tracking.settings import TrackingSettings
    from tritonpose.tracking.tracks import Track

    Array = NDArray[np.float64]

# People whose boxes overlap more are distinguished by their poses.
_CROWDED = 0.2
_POSE_SHARE = 0.8
# What the likeness of poses laid upon each other counts beside the places of joints and boxes.
_SHAPE_SHARE = 0.5
# What the likeness of colors counts there, and where somebody was lost.
_COLOR_SHARE = 1.5
# Least similarity of weak detections: most are of parts of people.
_WEAK_SIMILARITY = 0.4
# Two detections whose poses are more alike are of one person.
_DOUBLE = 0.7
# Somebody who was lost comes back within this many sizes, hardly larger or smaller.
_NEAR, _AS_LARGE = 1.6, 1.4
_LEAST = 0.05


class Matching:
    """The people of a frame, and the tracks that they continue.

    Args:
        tracks: All tracks, advanced to the time of the frame.
        boxes: (N, 4).
        keypoints: (N, K, 3).
        scores: (N,).
        sigmas: (K,), for OKS.
        colors: (N, L, 4); see `limb_colors`.
        settings: The thresholds.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        boxes: Array,
        keypoints: Array,
        scores: Array,
        sigmas: Array,
        colors: Array,
        settings: TrackingSettings,
    ) -> None:
        self._boxes, self._keypoints, self._sigmas = boxes, keypoints, sigmas
        self._colors = colors
        self._settings = settings
        self.crowded = crowded(tracks)
        self.doubles: set[int] = self._find_doubles(scores)
        self.track_of: dict[int, Track] = {}
        single = [row for row in range(len(boxes)) if row not in self.doubles]
        confident = [row for row in single if scores[row] > settings.det_threshold]
        weak = [row for row in single if scores[row] <= settings.det_threshold]
        known = [track for track in tracks if track.id is not None]
        new = [track for track in tracks if track.id is None]
        self._match(confident, known, settings.min_similarity, strong=True)
        self._match(weak, known, _WEAK_SIMILARITY)
        self._match(confident, new, settings.min_similarity)

    def _match(
        self,
        rows: Sequence[int],
        tracks: Sequence[Track],
        least: float,
        *,
        strong: bool = False,
    ) -> None:
        """Match by place, pose and colors the people and tracks that are left.

        With ``strong`` detections who was lost may be anywhere near.
        """
        rows, tracks = self._left(rows, tracks)
        if not rows or not tracks:
            return
        expected = np.stack([track.motion.box for track in tracks])
        poses = np.stack([track.expected for track in tracks])
        areas = np.array([track.motion.size**2 for track in tracks])
        overlaps = box_overlaps(expected, self._boxes[rows])
        alike = pose_similarities(poses, self._keypoints[rows], areas, self._sigmas)
        shapes = shape_similarities(poses, self._keypoints[rows], areas, self._sigmas)
        likeness = _SHAPE_SHARE * shapes
        if self.crowded or any(track.lost for track in tracks):
            colors = np.stack([track.colors for track in tracks])
            likeness += _COLOR_SHARE * (color_similarities(colors, self._colors[rows]) - 0.5)
        in_crowd = np.array([track in self.crowded for track in tracks])[:, None]
        mixed = _POSE_SHARE * alike + (1 - _POSE_SHARE) * overlaps
        similar = np.where(in_crowd & (alike > 0), mixed, np.maximum(overlaps, alike))
        fits = similar >= least
        if strong:
            fits |= self._may_be_back(tracks, rows)
            similar = np.maximum(similar, _LEAST)
        # Whom another scene shows is nobody of this one, unless it was but a damaged frame.
        fits &= (alike >= _DOUBLE) | ~np.array([[track.cut] for track in tracks])
        for row, column in best_pairs(np.where(fits, np.maximum(similar + likeness, _LEAST), 0)):
            self.track_of[rows[column]] = tracks[row]

    def _may_be_back(self, tracks: Sequence[Track], rows: Sequence[int]) -> NDArray[np.bool_]:
        """Tell who may be somebody who was lost, and went elsewhere than expected."""
        boxes = self._boxes[rows]
        sizes = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        size: Array = np.array([[track.motion.size] for track in tracks])
        places = np.stack([track.motion.center for track in tracks])
        near = np.linalg.norm(centers[None] - places[:, None], axis=2) < _NEAR * size
        as_large = abs(np.log(sizes / size)) < np.log(_AS_LARGE)
        lost = np.array([[track.lost] for track in tracks])
        back: NDArray[np.bool_] = lost & near & as_large
        return back

    def _left(self, rows: Sequence[int], tracks: Sequence[Track]) -> tuple[list[int], list[Track]]:
        taken = list(self.track_of.values())
        return (
            [row for row in rows if row not in self.track_of],
            [track for track in tracks if not any(track is one for one in taken)],
        )

    def _find_doubles(self, scores: Array) -> set[int]:
        """Find detections of somebody who has a better one, such as boxes around two people."""
        order = np.argsort(-scores, kind="stable").tolist()
        sizes = np.maximum(self._boxes[:, 2:] - self._boxes[:, :2], 1).prod(axis=1)
        alike = pose_similarities(self._keypoints, self._keypoints, sizes, self._sigmas)
        doubles: set[int] = set()
        for place, row in enumerate(order):
            better = [one for one in order[:place] if one not in doubles]
            if (alike[better, row] >= _DOUBLE).any():
                doubles.add(row)
        return doubles


def crowded(tracks: Sequence[Track]) -> set[Track]:
    """Find the tracks of people who are, as expected, before or behind others."""
    if len(tracks) < 2:
        return set()
    boxes = np.stack([track.motion.box for track in tracks])
    overlaps = box_overlaps(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    return {track for track, row in zip(tracks, overlaps, strict=True) if (row >= _CROWDED).any()}
