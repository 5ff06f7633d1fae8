"""Calm keypoints: as they come, and over whole tracks."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from tritonpose.tracking import TrackingSettings
from tritonpose.tracking.offline import fit_locally
from tritonpose.tracking.smoothing import SmoothedPose

SETTINGS = TrackingSettings()
SIZE = 100.0
CENTER = np.array([50.0, 50.0])
SCORE = 0.9


def smoothed(
    values: np.ndarray, rate: float = 30, scores: np.ndarray | float = SCORE, size: float = SIZE
) -> np.ndarray:
    """The places of one joint, (N,), after the filter."""
    pose = SmoothedPose(SETTINGS)
    scores = np.broadcast_to(scores, len(values))
    return np.array(
        [
            pose.update(np.array([[value, 0.0, score]]), CENTER, size, number / rate)[0, 0]
            for number, (value, score) in enumerate(zip(values, scores, strict=True))
        ]
    )


def offline(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    points = np.zeros((len(values), 1, 3))
    points[:, 0, 0], points[:, 0, 2] = values, SCORE
    fitted: np.ndarray = fit_locally(points, times)[:, 0, 0]
    return fitted


def shake(values: np.ndarray) -> float:
    return float(np.sqrt((np.diff(values, 2) ** 2).mean()))


@pytest.mark.parametrize("noisy", [0.5, 1.0])
@pytest.mark.parametrize("rate", [10, 30, 60])
def test_joints_at_rest_do_not_jitter(rate: float, noisy: float) -> None:
    """By 80 percent in the mean square of the acceleration's root."""
    noise = 50 + np.random.default_rng(0).normal(0, noisy, 300)
    assert shake(smoothed(noise, rate)) < 0.2 * shake(noise)


@pytest.mark.parametrize("stays", [False, True])
def test_a_joint_elsewhere_in_one_frame_was_taken_for_another_one(stays: bool) -> None:
    """A wrist that stays there has moved; and whole people may jump."""
    pose, places = SmoothedPose(SETTINGS), np.zeros((10, 5, 3))
    places[..., 2] = SCORE
    places[4:5, 0, 0] = places[8:, :, 0] = 40
    places[5:8, 0, 0] = 40 if stays else 0
    shown = [pose.update(one, CENTER, SIZE, n / 30)[:, 0] for n, one in enumerate(places)]
    assert shown[4][0] == 0
    assert (shown[5][0] > 20) == stays
    np.testing.assert_array_equal(np.array(shown)[:8, 1:], 0)
    assert min(shown[8][1:]) > 20


def test_joints_at_rest_do_not_jitter_offline() -> None:
    noise = 50 + np.random.default_rng(0).normal(0, 0.5, 300)
    assert shake(offline(noise, np.arange(300) / 30)) < 0.2 * shake(noise)


@pytest.mark.parametrize("speed", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("rate", [10, 30, 60])
def test_moving_joints_lag_less_than_a_frame(rate: float, speed: float) -> None:
    """At the speed of somebody's hands and feet, in sizes per second."""
    places = speed * SIZE * np.arange(2 * rate) / rate
    behind = (places - smoothed(places, rate))[rate:]
    assert behind.max() / (speed * SIZE / rate) < 1


@settings(deadline=None)
@given(st_numpy.arrays(np.float64, 30, elements=st.floats(-1e4, 1e4)))
def test_nothing_overshoots(values: np.ndarray) -> None:
    for smooth in (smoothed(values), offline(values, np.arange(30) / 30)):
        assert smooth.min() >= values.min() - 1e-6
        assert smooth.max() <= values.max() + 1e-6


def test_a_jump_is_followed_without_overshooting() -> None:
    jump = np.repeat([0.0, 80.0], 20)
    after = smoothed(jump)
    assert (np.diff(after) >= 0).all()
    assert after[20 + 12] > 76


def test_the_effect_does_not_depend_on_resolution() -> None:
    places = np.cumsum(np.random.default_rng(1).normal(0, 2, 60))
    np.testing.assert_allclose(3 * smoothed(places), smoothed(3 * places, size=3 * SIZE))


def test_joints_with_low_scores_stay_on_the_body() -> None:
    places = np.array([10.0, 10, 500, 500, 10, 10])
    scores = np.array([0.9, 0.9, 0.1, 0.1, 0.9, 0.9])
    np.testing.assert_allclose(smoothed(places, scores=scores), 10)
    pose = SmoothedPose(SETTINGS)
    pose.update(np.array([[10, 0, 0.9]]), CENTER, SIZE, 0.0)
    moved = pose.update(np.array([[500, 0, 0.1]]), CENTER + np.array([7, 3]), SIZE, 0.1)
    np.testing.assert_allclose(moved, [[17, 3, 0.1]])


def test_after_a_reset_the_next_pose_counts_alone() -> None:
    pose = SmoothedPose(SETTINGS)
    pose.update(np.array([[10, 0, 0.9]]), CENTER, SIZE, 0.0)
    pose.reset()
    assert pose.update(np.array([[90, 5, 0.9]]), CENTER, SIZE, 0.1)[0, :2].tolist() == [90, 5]


def test_the_same_time_again_changes_nothing() -> None:
    pose = SmoothedPose(SETTINGS)
    pose.update(np.array([[10, 0, 0.9]]), CENTER, SIZE, 1.0)
    assert pose.update(np.array([[90, 5, 0.9]]), CENTER, SIZE, 1.0)[0, 0] == 10


def test_the_filter_goes_on_from_its_state() -> None:
    places = np.random.default_rng(2).normal(0, 5, 20)
    pose = SmoothedPose(SETTINGS)
    whole = smoothed(places)
    for number, value in enumerate(places):
        pose = SmoothedPose.from_state(json.loads(json.dumps(pose.state())), SETTINGS)
        assert pose.update(np.array([[value, 0, SCORE]]), CENTER, SIZE, number / 30)[
            0, 0
        ] == pytest.approx(whole[number])


def test_offline_is_the_filter_of_savitzky_and_golay() -> None:
    """With 9 frames within 0.15 s to each side: the coefficients are in their tables."""
    values = np.random.default_rng(3).normal(0, 5, 40)
    table = np.array([-21, 14, 39, 54, 59, 54, 39, 14, -21]) / 231
    fitted = offline(values, np.arange(40) / 30)
    expected = np.convolve(values, table, "valid")
    low = np.lib.stride_tricks.sliding_window_view(values, 9).min(axis=1)
    high = np.lib.stride_tricks.sliding_window_view(values, 9).max(axis=1)
    np.testing.assert_allclose(fitted[4:-4], np.clip(expected, low, high), atol=1e-6)


def test_offline_keeps_steady_acceleration_as_it_is() -> None:
    times = np.cumsum(np.random.default_rng(4).uniform(0.01, 0.06, 60))
    values = 30 * times**2 + 5 * times
    np.testing.assert_allclose(offline(values, times), values, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 2500])
def test_offline_takes_tracks_of_any_length(count: int) -> None:
    values = np.full(count, 7.0)
    np.testing.assert_allclose(offline(values, np.arange(count) / 30), values)


def test_offline_trusts_joints_by_their_scores() -> None:
    points = np.zeros((11, 1, 3))
    points[:, 0, 2] = 0.9
    points[5, 0] = [100, 0, 0.05]
    assert fit_locally(points, np.arange(11) / 30)[5, 0, 0] < 1
