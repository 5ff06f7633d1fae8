"""What people look like: the colors along their limbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tritonpose.tracking.association import LEAST_JOINTS, VISIBLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tritonpose_pipeline.keypoint_schema import Pair

    Array = NDArray[np.float64]

# Where on a limb colors are taken, and how far around, in sizes of the person.
_ALONG = np.array([0.3, 0.5, 0.7])
_AROUND = 0.02
# Distance of colors, as a share of 255, at which their similarity is 1/e.
_OTHER = 0.15
# Similarity of people of whom too little is known.
_UNKNOWN = 0.5
# What share of a change is taken over.
_RENEWED = 0.1


def limb_colors(
    image: NDArray[np.uint8], keypoints: Array, sizes: Array, limbs: Sequence[Pair]
) -> Array:
    """Read the colors of people's limbs, and whether each is shown: (N, L, 4), B, G, R, 0 or 1.

    ``keypoints`` are (N, K, 3), ``sizes`` (N,) in pixels, ``limbs`` L pairs of joints.
    """
    ends = keypoints[:, np.array(limbs, np.intp).reshape(-1, 2)]
    starts, whole = ends[:, :, 0, None, :2], np.diff(ends[..., :2], axis=2)
    middles = starts + _ALONG[:, None] * whole
    steps = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    around = _AROUND * sizes[:, None, None, None, None] * steps
    points = (middles[:, :, :, None] + around).reshape(*ends.shape[:2], len(_ALONG) * len(steps), 2)
    inside = (points >= 0) & (points < (image.shape[1], image.shape[0]))
    shown = (ends[..., 2] >= VISIBLE).all(axis=2) & inside.all(axis=(2, 3))
    x, y = np.moveaxis(np.where(shown[..., None, None], points, 0).astype(np.intp), 3, 0)
    return np.concatenate([image[y, x].mean(axis=2), shown[..., None]], axis=2)


def renewed(known: Array, seen: Array) -> Array:
    """Take in the colors, (L, 4), that somebody was seen with."""
    share = np.where(known[:, 3:] > 0, _RENEWED, 1.0) * seen[:, 3:]
    mixed: Array = known + share * (seen - known)
    return mixed


def color_similarities(ones: Array, others: Array) -> Array:
    """Compare the colors of people, (N, L, 4) and (M, L, 4): 0 to 1, (N, M)."""
    apart = np.linalg.norm(ones[:, None, :, :3] - others[None, :, :, :3], axis=3) / 255
    both = ones[:, None, :, 3] * others[None, :, :, 3]
    counts = both.sum(axis=2)
    mean = (np.exp(-((apart / _OTHER) ** 2)) * both).sum(axis=2) / np.maximum(counts, 1)
    return np.where(counts >= LEAST_JOINTS, mean, _UNKNOWN)
