"""Find out which of two sets of people are the same: how alike they are, and the best pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose_pipeline.keypoint_schema import KeypointSchema

    Array = NDArray[np.float64]

VISIBLE = 0.3
"""Lowest score of joints that are compared."""

LEAST_JOINTS = 4
"""Fewer joints that both people show say nothing."""

# Of two people of whom too few joints are shown.
_UNKNOWN_SHAPE = 0.3

# Where a model's keypoints are unknown: about the mean of COCO's.
_USUAL_SIGMA = 0.07


def box_overlaps(ones: Array, others: Array) -> Array:
    """Compute IoU, (N, M), of boxes (N, 4) and (M, 4)."""
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    total = _areas(ones)[:, None] + _areas(others)[None] - shared
    overlaps: Array = shared / np.maximum(total, 1e-9)
    return overlaps


def pose_similarities(ones: Array, others: Array, areas: Array, sigmas: Array) -> Array:
    """Compute OKS, (N, M), of people's keypoints, (N, K, 3) and (M, K, 3), that both show.

    ``areas``, (N,), are of the ones in pixels. It is 0 where too few joints are shown.
    """
    shown = (ones[:, None, :, 2] >= VISIBLE) & (others[None, :, :, 2] >= VISIBLE)
    squares = ((ones[:, None, :, :2] - others[None, :, :, :2]) ** 2).sum(axis=3)
    # As COCO's evaluation: of a distance of 2 sigma in units of the person's size, e^-0.5.
    scaled = squares / (2 * np.maximum(areas, 1)[:, None, None] * (2 * sigmas) ** 2)
    counts = shown.sum(axis=2)
    sums = np.where(shown, np.exp(-scaled), 0).sum(axis=2)
    return np.where(counts >= min(LEAST_JOINTS, ones.shape[1]), sums / np.maximum(counts, 1), 0)


def shape_similarities(ones: Array, others: Array, areas: Array, sigmas: Array) -> Array:
    """Compute OKS, (N, M), as `pose_similarities` do, of poses that are laid upon each other."""
    shown = (ones[:, None, :, 2] >= VISIBLE) & (others[None, :, :, 2] >= VISIBLE)
    counts = shown.sum(axis=2)
    similar = np.full(counts.shape, _UNKNOWN_SHAPE)
    rows, columns = np.nonzero(counts >= min(LEAST_JOINTS, ones.shape[1]))
    shown, counts = shown[rows, columns], counts[rows, columns]
    apart = ones[rows, :, :2] - others[columns, :, :2]
    # Their medians: joints that one of the two doesn't show are sorted behind the others.
    ordered = np.sort(np.where(shown[..., None], apart, np.inf), axis=1)
    pairs = np.arange(len(rows))
    shifts = (ordered[pairs, (counts - 1) // 2] + ordered[pairs, counts // 2]) / 2
    squares = ((apart - shifts[:, None]) ** 2).sum(axis=2)
    scaled = squares / (2 * np.maximum(areas[rows], 1)[:, None] * (2 * sigmas) ** 2)
    similar[rows, columns] = np.where(shown, np.exp(-scaled), 0).sum(axis=1) / counts
    return similar


def sigmas_of(schema: KeypointSchema) -> Array:
    """Return the deviations, (K,), that OKS divides by; usual ones where none are known."""
    if schema.sigmas is None:
        return np.full(len(schema.names), _USUAL_SIGMA)
    return np.array(schema.sigmas, np.float64)


def best_pairs(gains: Array) -> list[tuple[int, int]]:
    """Choose pairs of a row and a column, each used once, with the largest sum of gains.

    Pairs without a positive gain are left out. The Hungarian method with shortest augmenting paths
    (Jonker and Volgenant, Computing 38, 1987).
    """
    possible = gains > 0
    rows, columns = np.nonzero(possible)
    if not len(rows):
        return []
    if (possible.sum(axis=0) <= 1).all() and (possible.sum(axis=1) <= 1).all():
        return list(zip(rows.tolist(), columns.tolist(), strict=True))
    rows, columns = np.unique(rows), np.unique(columns)
    some = np.maximum(gains[np.ix_(rows, columns)], 0)
    swapped = some.shape[0] > some.shape[1]
    of_row = _cheapest(-(some.T if swapped else some))
    pairs = ((column, row) if swapped else (row, column) for row, column in enumerate(of_row))
    return sorted((int(rows[r]), int(columns[c])) for r, c in pairs if some[r, c] > 0)


def _cheapest(costs: Array) -> list[int]:
    """Choose a column for each row of (N, M), N <= M, at the least sum of costs."""
    count, width = costs.shape
    row_prices = np.zeros(count)
    prices = np.zeros(width)
    row_of = np.full(width, -1)
    for start in range(count):
        distances = np.full(width, np.inf)
        before = np.full(width, -1)
        done = np.zeros(width, bool)
        row, column, reached = start, -1, 0.0
        while row >= 0:
            lengths = reached + costs[row] - row_prices[row] - prices
            shorter = ~done & (lengths < distances)
            distances[shorter] = lengths[shorter]
            before[shorter] = column
            column = int(np.argmin(np.where(done, np.inf, distances)))
            reached = float(distances[column])
            done[column] = True
            row = int(row_of[column])
        # All that the search went through become as cheap as the way that it found.
        passed = done & (row_of >= 0)
        passed_rows = row_of[passed]
        row_prices[start] += reached
        row_prices[passed_rows] += reached - distances[passed]
        prices[done] -= reached - distances[done]
        while column >= 0:
            previous = int(before[column])
            row_of[column] = start if previous < 0 else row_of[previous]
            column = previous
    chosen = [-1] * count
    for column, row in enumerate(row_of.tolist()):
        if row >= 0:
            chosen[row] = column
    return chosen


def _areas(boxes: Array) -> Array:
    areas: Array = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return areas
