"""Overlaps, similarities of poses, and the best pairs."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from tritonpose.tracking.association import (
    best_pairs,
    box_overlaps,
    pose_similarities,
    shape_similarities,
    sigmas_of,
)
from tritonpose_pipeline.keypoint_schema import KeypointSchema, default_schema

SIGMAS = sigmas_of(default_schema(17))


def best_sum(gains: np.ndarray) -> float:
    """By trying all."""
    if gains.shape[0] > gains.shape[1]:
        gains = gains.T
    worth = np.maximum(gains, 0)
    return max(
        sum(worth[row, column] for row, column in enumerate(columns))
        for columns in itertools.permutations(range(worth.shape[1]), worth.shape[0])
    )


@settings(deadline=None)
@given(
    st_numpy.arrays(
        np.float64,
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        # Coarse, so that there are ties.
        elements=st.integers(-4, 8).map(lambda value: value / 8),
    )
)
def test_pairs_are_the_best(gains: np.ndarray) -> None:
    pairs = best_pairs(gains)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(gains[row, column] > 0 for row, column in pairs)
    assert sum(gains[row, column] for row, column in pairs) == pytest.approx(best_sum(gains))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_has_no_pairs(shape: tuple[int, int]) -> None:
    assert best_pairs(np.zeros(shape)) == []


def test_pairs_of_a_crowd_are_found() -> None:
    order = np.random.default_rng(0).permutation(100)
    gains = np.random.default_rng(1).uniform(0, 0.5, (100, 100))
    gains[np.arange(100), order] += 1
    assert best_pairs(gains) == list(enumerate(order.tolist()))


def test_overlaps_of_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], float)
    overlaps = box_overlaps(boxes, boxes)
    assert overlaps[0, 1] == pytest.approx(50 / 150)
    assert overlaps[0, 2] == 0
    np.testing.assert_array_equal(np.diag(overlaps), [1, 1, 1, 0])


def pose(seed: int, score: float = 0.9) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0, 100, (17, 2))
    return np.concatenate([points, np.full((17, 1), score)], axis=1)


def test_a_pose_is_like_itself_alone() -> None:
    poses = np.stack([pose(1), pose(2)])
    similar = pose_similarities(poses, poses, np.full(2, 5000.0), SIGMAS)
    np.testing.assert_allclose(np.diag(similar), 1)
    assert similar[0, 1] < 0.2


def test_similarity_is_that_of_coco() -> None:
    """``exp(-d^2 / (2 area (2 sigma)^2))`` of one joint that is off, the others in place."""
    one, other = pose(1), pose(1)
    other[5, 0] += 20
    similar = pose_similarities(one[None], other[None], np.array([5000.0]), SIGMAS)
    off = np.exp(-(20**2) / (2 * 5000 * (2 * 0.079) ** 2))
    assert similar[0, 0] == pytest.approx((16 + off) / 17)


def test_hidden_joints_say_nothing() -> None:
    one, other = pose(1), pose(1)
    other[5, :2] += 50
    other[5, 2] = 0.1
    similar = pose_similarities(one[None], other[None], np.array([5000.0]), SIGMAS)
    assert similar[0, 0] == pytest.approx(1)
    other[3:, 2] = 0.1
    assert pose_similarities(one[None], other[None], np.array([5000.0]), SIGMAS)[0, 0] == 0


def test_models_of_few_or_unknown_keypoints_have_similarities() -> None:
    schema = KeypointSchema(("head", "feet"))
    poses = np.array([[[5, 5, 0.9], [5, 50, 0.9]]])
    similar = pose_similarities(poses, poses, np.array([500.0]), sigmas_of(schema))
    assert similar[0, 0] == 1


def test_shapes_are_compared_wherever_they_are() -> None:
    """As if the poses were laid upon each other, joint by joint that both show."""
    rng = np.random.default_rng(5)
    ones, others = rng.uniform(0, 1, (2, 6, 17, 3)) * (100, 100, 1)
    others[:3, :, :2] = ones[:3, :, :2] + 40
    areas = rng.uniform(2000, 9000, 6)
    similar = shape_similarities(ones, others, areas, SIGMAS)
    for row, column in itertools.product(range(6), range(6)):
        both = (ones[row, :, 2] >= 0.3) & (others[column, :, 2] >= 0.3)
        apart = (ones[row] - others[column])[both, :2]
        off = ((apart - np.median(apart, axis=0)) ** 2).sum(axis=1)
        oks = np.exp(-off / (2 * areas[row] * (2 * SIGMAS[both]) ** 2)).mean()
        assert similar[row, column] == pytest.approx(oks if both.sum() >= 4 else 0.3)
    np.testing.assert_allclose(np.diag(similar)[:3], 1)
    others[..., 2] = 0
    assert (shape_similarities(ones, others, areas, SIGMAS) == 0.3).all()
    assert shape_similarities(ones, others[:0], areas, SIGMAS).shape == (6, 0)
