"""Heatmaps to keypoints, against one joint at a time and against known answers."""

import cv2
import numpy as np
import pytest

from tritonpose_pipeline.heatmaps import average_flipped, decode_heatmaps, smooth
from tritonpose_pipeline.keypoint_schema import default_schema

PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINT_NAMES = ["nose", *(f"{side}_{part}" for part in PARTS for side in ("left", "right"))]


def blob(
    size: tuple[int, int], x: float, y: float, sigma: tuple = (2.0, 2.0), lean: float = 0.0
) -> np.ndarray:
    """A Gaussian around a sub-pixel position, its axes leaning if `lean` isn't 0."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    u, v = (columns - x) / sigma[0], (rows - y) / sigma[1]
    return np.exp(-0.5 * (u * u - 2 * lean * u * v + v * v) / (1 - lean * lean)).astype(np.float32)


def blurred_by_opencv(heatmap: np.ndarray) -> np.ndarray:
    padded = cv2.copyMakeBorder(heatmap.astype(np.float64), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    blurred = cv2.GaussianBlur(padded, (3, 3), 0)[1:-1, 1:-1]
    return blurred * (float(heatmap.max()) / blurred.max())


def decode_one(heatmap: np.ndarray) -> tuple[float, float, float]:
    """Decode one joint in double precision, straight from the paper's formulae."""
    height, width = heatmap.shape
    peak = float(heatmap.max())
    if peak <= 0:
        return 0.0, 0.0, peak
    y, x = (int(i) for i in np.argwhere(heatmap == heatmap.max())[0])
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return x, y, peak
    log = np.log(np.maximum(blurred_by_opencv(heatmap), 1e-10))
    gradient = [(log[y, x + 1] - log[y, x - 1]) / 2, (log[y + 1, x] - log[y - 1, x]) / 2]
    across = (log[y + 1, x + 1] + log[y - 1, x - 1] - log[y - 1, x + 1] - log[y + 1, x - 1]) / 4
    hessian = [
        [(log[y, x + 2] + log[y, x - 2] - 2 * log[y, x]) / 4, across],
        [across, (log[y + 2, x] + log[y - 2, x] - 2 * log[y, x]) / 4],
    ]
    step = np.linalg.solve(hessian, gradient)
    return x - step[0], y - step[1], peak


def realistic_heatmaps(seed: int, persons: int, size: tuple[int, int]) -> np.ndarray:
    """Leaning blobs of all heights anywhere in the map, with a second one and noise."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((persons, 17, size[1], size[0]), np.float32)
    for heatmap in maps.reshape(-1, size[1], size[0]):
        for height in (1.0, 0.6):
            position = rng.uniform(0, size[0]), rng.uniform(0, size[1])
            shape = blob(size, *position, rng.uniform(1.2, 3, 2), rng.uniform(-0.6, 0.6))
            heatmap += height * shape
        heatmap += rng.normal(0, 0.01, heatmap.shape)
        heatmap *= rng.uniform(0.05, 1.1)
    return maps


@pytest.mark.parametrize(
    ("seed", "size"), [(0, (24, 32)), (1, (48, 64)), (2, (24, 32)), (3, (9, 7))]
)
def test_decoding_agrees_with_one_joint_at_a_time(seed: int, size: tuple) -> None:
    heatmaps = realistic_heatmaps(seed, 6, size)
    before = heatmaps.copy()
    coordinates, scores = decode_heatmaps(heatmaps)
    np.testing.assert_array_equal(heatmaps, before)
    assert coordinates.shape == (6, 17, 2)
    assert coordinates.dtype == np.float64
    assert scores.dtype == np.float32
    refined = 0
    for person in range(6):
        for joint in range(17):
            x, y, peak = decode_one(heatmaps[person, joint])
            np.testing.assert_allclose(coordinates[person, joint], [x, y], rtol=1e-3, atol=1e-3)
            assert scores[person, joint] == np.float32(peak)
            refined += x != int(x)
    assert refined > 20


@pytest.mark.parametrize("sigma", [(2.0, 2.0), (1.5, 2.5)])
@pytest.mark.parametrize("lean", [0.0, 0.5])
def test_blobs_are_found_where_they_were_drawn(sigma: tuple, lean: float) -> None:
    rng = np.random.default_rng(4)
    truth = np.column_stack([rng.uniform(7, 17, 17), rng.uniform(7, 25, 17)])
    heatmaps = np.array([[blob((24, 32), x, y, sigma, lean) for x, y in truth]])
    coordinates, _ = decode_heatmaps(heatmaps)
    assert np.abs(truth - truth.round()).max() > 0.4
    np.testing.assert_allclose(coordinates[0], truth, atol=0.05)


@pytest.mark.parametrize("x", [0, 1, 2, 10, 21, 22, 23])
@pytest.mark.parametrize("y", [0, 1, 2, 10, 29, 30, 31])
def test_peaks_near_the_border_are_not_refined(x: int, y: int) -> None:
    heatmaps = blob((24, 32), x + 0.3, y + 0.3)[None, None]
    coordinates, _ = decode_heatmaps(heatmaps)
    inside = 2 <= x <= 21 and 2 <= y <= 29
    assert (coordinates[0, 0] != [x, y]).all() == inside
    # Where the blob is cut off by the map's edge, refinement is only roughly right.
    np.testing.assert_allclose(coordinates[0, 0], [x + 0.3, y + 0.3], atol=0.31)


@pytest.mark.parametrize("level", [0.0, -0.5])
def test_without_a_positive_peak_a_joint_is_at_the_origin(level: float) -> None:
    heatmaps = np.full((1, 2, 8, 8), -1.0, np.float32)
    heatmaps[0, 0, 4, 5] = level
    heatmaps[0, 1, 4, 5] = 0.5
    coordinates, scores = decode_heatmaps(heatmaps)
    assert coordinates[0, 0].tolist() == [0, 0]
    assert np.abs(coordinates[0, 1] - [5, 4]).max() < 1
    assert scores.tolist() == [[level, 0.5]]


def test_of_equal_peaks_the_first_counts() -> None:
    heatmaps = np.zeros((1, 1, 12, 12), np.float32)
    for y, x in ((7, 3), (4, 8), (4, 9), (9, 9)):
        heatmaps[0, 0, y, x] = 0.5
    x, y, _ = decode_one(heatmaps[0, 0])
    np.testing.assert_allclose(decode_heatmaps(heatmaps)[0][0, 0], [x, y], atol=1e-4)
    assert (int(x), int(y)) == (8, 4)


def test_where_all_is_below_the_floor_of_the_logarithm_nothing_is_refined() -> None:
    """The Hessian is 0 there: no step, and no division by zero."""
    heatmaps = np.zeros((1, 2, 12, 12), np.float32)
    heatmaps[0, 0, 5, 6], heatmaps[0, 0, 5, 7] = 1e-20, 0.5e-20
    heatmaps[0, 1] = blob((12, 12), 5.3, 6.3)
    with np.errstate(all="raise", under="ignore"):
        coordinates, scores = decode_heatmaps(heatmaps)
    assert coordinates[0, 0].tolist() == [6, 5]
    assert scores[0, 0] == np.float32(1e-20)
    np.testing.assert_allclose(coordinates[0, 1], [5.3, 6.3], atol=0.1)
    coordinates, scores = decode_heatmaps(np.zeros((0, 17, 32, 24), np.float32))
    assert (coordinates.shape, scores.shape) == ((0, 17, 2), (0, 17))


def test_smoothing_is_opencvs_blur() -> None:
    heatmaps = realistic_heatmaps(5, 1, (24, 32))[0]
    # At the edges, where the padding counts, and where the next heatmap must not.
    heatmaps[0, 0, 0] = heatmaps[1, -1, 5] = heatmaps[3, 0, 6] = 3.0
    smoothed = smooth(heatmaps)
    assert smoothed.dtype == np.float64
    for before, after in zip(heatmaps, smoothed, strict=True):
        after *= before.max() / after.max()
        np.testing.assert_allclose(after, blurred_by_opencv(before), rtol=1e-5, atol=1e-7)


def mirrored_joint(joint: int) -> int:
    side, _, part = JOINT_NAMES[joint].partition("_")
    return JOINT_NAMES.index({"left": "right_", "right": "left_"}[side] + part) if part else joint


@pytest.mark.parametrize("shift", [False, True])
def test_averaging_with_the_mirrored_crop(shift: bool) -> None:
    rng = np.random.default_rng(0)
    plain, flipped = rng.uniform(size=(2, 3, 17, 5, 6)).astype(np.float32)
    mirrored_joints = default_schema(17).mirrored
    assert mirrored_joints is not None
    averaged = average_flipped(plain, flipped, mirrored_joints, shift)
    assert averaged.dtype == np.float32
    assert averaged.shape == plain.shape
    for person, joint, y, x in np.ndindex(*plain.shape):
        seen_at = 5 - (max(x - 1, 0) if shift else x)
        mirrored = flipped[person, mirrored_joint(joint), y, seen_at]
        expected = (plain[person, joint, y, x] + mirrored) / 2
        assert averaged[person, joint, y, x] == pytest.approx(expected, rel=1e-6)
