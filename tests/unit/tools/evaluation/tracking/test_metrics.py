"""Measures of tracking, on people whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from tools.evaluation.tracking.metrics import (
    Floats,
    Seen,
    count_shared,
    count_switches,
    ids_of,
    joint_similarity,
    lag,
    match_people,
    overshoot,
    rms_acceleration,
    similarities,
)

RANDOM = np.random.default_rng(3)
POSE = np.column_stack([RANDOM.uniform([0, 0], [50, 100], (17, 2)), np.full(17, 0.9)])


def seen(people: dict[int, float]) -> Seen:
    """People of 50 x 100 pixels by their ids, at these places from the left."""
    boxes = np.array([[x, 0, x + 50, 100] for x in people.values()], float)
    poses = np.array([np.add(POSE, [x, 0, 0]) for x in people.values()])
    return Seen(
        np.array(list(people), np.int64), boxes.reshape(-1, 4), poses.reshape(len(people), 17, 3)
    )


def ids(truth: list[dict[int, float]], shown: list[dict[int, float]]) -> dict[int, list[int]]:
    frames = list(map(seen, shown))
    return ids_of(match_people(list(map(seen, truth)), frames), frames)


def test_a_person_who_is_followed_has_one_id() -> None:
    assert ids([{0: 0}, {0: 10}, {0: 20}], [{7: 1}, {}, {7: 19}]) == {0: [7]}


@pytest.mark.parametrize(
    ("shown", "expected", "switches", "shared"),
    [
        ([{1: 0, 2: 200}, {1: 0, 2: 200}], {0: [1], 1: [2]}, 0, 0),
        ([{1: 0, 2: 200}, {2: 0, 1: 200}], {0: [1, 2], 1: [2, 1]}, 2, 2),
        ([{1: 0, 2: 200}, {1: 0, 3: 200}], {0: [1], 1: [2, 3]}, 1, 0),
        ([{1: 0}, {1: 200}], {0: [1], 1: [1]}, 0, 1),
        ([{}, {}], {}, 0, 0),
    ],
)
def test_switches_are_counted(
    shown: list[dict[int, float]], expected: dict[int, list[int]], switches: int, shared: int
) -> None:
    given = ids([{0: 0, 1: 200}] * 2, shown)
    assert given == expected
    assert count_switches(given) == switches
    assert count_shared(given) == shared


def test_who_keeps_the_id_is_the_same_person_although_another_one_is_nearer() -> None:
    truth = [{0: 0.0}, {0: 0.0}]
    assert ids(truth, [{1: 1}, {1: 2, 2: 0}]) == {0: [1]}


def test_a_box_around_two_people_is_of_the_one_whose_pose_it_has() -> None:
    true = seen({0: 0, 1: 30})
    wide = np.array([[0, 0, 80, 100]], float)
    for person in (0, 1):
        found = Seen(np.array([5]), wide, true.keypoints[[person]])
        assert (similarities(true, found)[:, 0] > 0).tolist() == [person == 0, person == 1]


def test_similarity_of_joints_is_that_of_coco() -> None:
    """At a distance of 2 sigma in units of the root of the area it is e^-0.5."""
    moved = POSE[:, :2] + [2 * 0.026 * 100, 0]
    assert joint_similarity(POSE[:, :2], moved, 100.0**2)[0] == pytest.approx(np.exp(-0.5))


def points(x: Floats) -> Floats:
    """One joint that moves along x."""
    return np.column_stack([x, np.zeros_like(x)])[:, None]


@pytest.mark.parametrize("rate", [10, 30])
def test_acceleration_of_a_swing(rate: int) -> None:
    """Of amplitude a and frequency w: RMS a w^2 / sqrt 2."""
    times = np.arange(0, 10, 1 / rate)
    swing = points(5 * np.sin(2.0 * times))
    assert rms_acceleration(swing, rate) == pytest.approx(5 * 4 / np.sqrt(2), rel=0.03)
    assert rms_acceleration(points(3 * times), rate) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("frames", [0.0, 0.5, 2.0])
def test_lag_is_that_of_a_delay(frames: float) -> None:
    numbers = np.arange(100.0)
    raw = points(0.05 * numbers**2)
    velocity = np.gradient(raw, axis=0)
    assert lag(raw, raw - frames * velocity, velocity) == pytest.approx(frames)


def test_overshoot_is_what_leaves_the_raw_range() -> None:
    raw = points(np.repeat([0.0, 20.0], 5))
    assert overshoot(raw, points(np.linspace(0, 20, 10))) == 0
    assert overshoot(raw, points(np.array([0, 0, 0, 0, 0, 10, 22.5, 21, 20, 20]))) == 2.5
