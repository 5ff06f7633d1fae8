"""Where boxes are expected to be."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tritonpose.tracking.kalman import BoxMotion

BOX = np.array([100, 100, 200, 300], float)
PLACE = np.array([150, 200], float)


def walk(motion: BoxMotion, rate: int, seconds: int) -> None:
    """To the right, at 90 pixels per second."""
    for step in range(1, seconds * rate + 1):
        motion.advance(1 / rate, lost=False)
        motion.correct(np.add(PLACE, [90 * step / rate, 0]), scatter=0)


@pytest.mark.parametrize("rate", [5, 30, 60])
def test_a_steady_walk_is_foreseen(rate: int) -> None:
    motion = BoxMotion(BOX)
    walk(motion, rate, 2)
    motion.advance(0.2, lost=False)
    np.testing.assert_allclose(motion.box, np.add(BOX, [198, 0, 198, 0]), atol=3)


def test_who_is_not_seen_comes_to_rest() -> None:
    motion = BoxMotion(BOX)
    walk(motion, 30, 2)
    motion.advance(10, lost=True)
    assert 180 + 40 < motion.center[0] - PLACE[0] < 180 + 90
    there = motion.center
    motion.advance(10, lost=True)
    np.testing.assert_allclose(motion.center, there, atol=0.1)


@pytest.mark.parametrize("lost", [False, True])
def test_foresight_does_not_depend_on_the_steps(lost: bool) -> None:
    motions = []
    for steps in (1, 10):
        motion = BoxMotion(BOX)
        walk(motion, 10, 1)
        for _ in range(steps):
            motion.advance(0.5 / steps, lost=lost)
        motions.append(motion)
    np.testing.assert_allclose(motions[0].box, motions[1].box)


def test_doubted_places_move_less() -> None:
    sure, doubted = BoxMotion(BOX), BoxMotion(BOX)
    for motion, scatter in ((sure, 0), (doubted, 0.1)):
        motion.advance(0.03, lost=False)
        motion.correct(np.add(PLACE, [30, 0]), scatter=scatter)
    assert PLACE[0] < doubted.center[0] < sure.center[0] < PLACE[0] + 30


def test_boxes_grow_slowly() -> None:
    motion = BoxMotion(BOX)
    motion.resize(np.array([100, 100, 300, 300]))
    assert 100 < motion.box[2] - motion.box[0] < 150
    for _ in range(30):
        motion.resize(np.array([100, 100, 300, 300]))
    np.testing.assert_allclose(motion.box, [50, 100, 250, 300], atol=0.1)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 2),
            st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_any_boxes_leave_a_finite_box(steps: list[tuple[float, list[float], bool]]) -> None:
    motion = BoxMotion(BOX)
    for seconds, corners, lost in steps:
        motion.advance(seconds, lost=lost)
        motion.correct(np.array(corners[:2]), scatter=abs(corners[2]))
        motion.resize(np.array(corners))
        assert np.isfinite(motion.box).all()
    motion.advance(1, lost=False)
    assert (motion.box[2:] > motion.box[:2]).all()
    again = BoxMotion.from_state(json.loads(json.dumps(motion.state())))
    again.advance(0.1, lost=True)
    motion.advance(0.1, lost=True)
    np.testing.assert_array_equal(again.box, motion.box)
