"""Measures of what a tracker shows, of one clip.

HOTA and IDF1 are trackeval's: see `rivals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritonpose.tracking.association import box_overlaps, sigmas_of
from tritonpose_pipeline.keypoint_schema import default_schema

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# What is found is of a true person where the boxes overlap by half, as in CLEAR MOT, and the pose
# is theirs: a box around two people is of the one whose joints it has.
_SAME_BOX, _SAME_POSE = 0.5, 0.5
# Joints of less score are anywhere.
_CLEAR = 0.3

COCO_SIGMAS = sigmas_of(default_schema(17))
"""Of COCO's 17 keypoints, for OKS."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The people of a frame: `ids` ``[N]``, `boxes` ``[N, 4]``, `keypoints` ``[N, K, 3]``."""

    ids: Ints
    boxes: Floats
    keypoints: Floats

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Seen:
        """Return some of the people."""
        return Seen(self.ids[chosen], self.boxes[chosen], self.keypoints[chosen])


def match_people(truth: Sequence[Seen], shown: Sequence[Seen]) -> list[dict[int, int]]:
    """Find the row of each true person in each frame, by identity; without those not found.

    As CLEAR MOT: a person keeps the id of the frame before while that is theirs, else the most
    overlapping boxes belong together.
    """
    rows: list[dict[int, int]] = []
    last: dict[int, int] = {}
    for true, found in zip(truth, shown, strict=True):
        alike = similarities(true, found)
        kept = np.array([[last.get(one) == other for other in found.ids] for one in true.ids])
        ranks = np.where(alike > 0, alike + kept.reshape(alike.shape), 0.0)
        matched: dict[int, int] = {}
        while ranks.size and ranks.max() > 0:
            person, row = np.unravel_index(ranks.argmax(), ranks.shape)
            matched[int(true.ids[person])] = int(row)
            ranks[person], ranks[:, row] = 0.0, 0.0
        last = {one: int(found.ids[row]) for one, row in matched.items()}
        rows.append(matched)
    return rows


def ids_of(rows: Sequence[dict[int, int]], shown: Sequence[Seen]) -> dict[int, list[int]]:
    """List the ids that each true person has, one after the other, without repetitions."""
    ids: dict[int, list[int]] = {}
    for matched, found in zip(rows, shown, strict=True):
        for person, row in matched.items():
            given, number = ids.setdefault(person, []), int(found.ids[row])
            if not given or given[-1] != number:
                given.append(number)
    return ids


def count_switches(ids: dict[int, list[int]]) -> int:
    """Count how often a true person's id changes."""
    return sum(len(given) - 1 for given in ids.values())


def count_shared(ids: dict[int, list[int]]) -> int:
    """Count the ids that more than one true person has had."""
    owners = [number for given in ids.values() for number in set(given)]
    return sum(owners.count(number) > 1 for number in set(owners))


def rms_acceleration(points: Floats, rate: float) -> float:
    """Compute the RMS acceleration of points ``[T, K, 2]``, in their unit per second squared."""
    return float(np.sqrt((np.diff(points, 2, axis=0) ** 2).sum(axis=-1).mean())) * rate**2


def lag(raw: Floats, shown: Floats, velocity: Floats) -> float:
    """Compute by how many frames points ``[T, K, 2]`` trail behind the raw ones.

    It is the delay that explains their distance best, where `velocity` is the true one, per frame.
    """
    return float(((raw - shown) * velocity).sum() / (velocity**2).sum())


def overshoot(raw: Floats, shown: Floats) -> float:
    """Compute by how much points ``[T, K, 2]`` leave the range of the raw ones so far.

    A jump shows points beyond its goal where a filter swings.
    """
    low, high = raw.min(axis=0), raw.max(axis=0)
    return float(np.maximum(low - shown, shown - high).max(initial=0.0))


def similarities(true: Seen, found: Seen) -> Floats:
    """Compute the overlap of each of N true people with each of M found; of others it is 0."""
    overlaps = box_overlaps(true.boxes, found.boxes)
    same = (overlaps >= _SAME_BOX) & (pose_similarities(true, found) >= _SAME_POSE)
    return np.where(same, overlaps, 0.0)


def pose_similarities(true: Seen, found: Seen) -> Floats:
    """Compute OKS of each of N true people with each of M found, of joints that are clear."""
    areas = (true.boxes[:, 2:] - true.boxes[:, :2]).prod(axis=1)
    poses = true.keypoints[:, None, :, :2], found.keypoints[None, :, :, :2]
    joints = joint_similarity(*poses, areas[:, None, None])
    clear = true.keypoints[:, None, :, 2] >= _CLEAR
    return np.asarray((joints * clear).sum(axis=2) / np.maximum(clear.sum(axis=2), 1))


def joint_similarity(
    one: Floats, other: Floats, area: Floats | float, sigmas: Floats = COCO_SIGMAS
) -> Floats:
    """Compute each joint's part of OKS, 0 to 1, ``[..., K]``, of poses ``[..., K, 2]``."""
    return np.asarray(np.exp(-((one - other) ** 2).sum(axis=-1) / (2 * area * (2 * sigmas) ** 2)))
