"""Where boxes are expected to be."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpose.tracking.kalman import BoxMotion

BOX = np.array([100, 100, 200, 300], float)


def moved(pixels: float) -> np.ndarray:
    return BOX + np.array([pixels, 0, pixels, 0])


@pytest.mark.parametrize("rate", [5, 30, 60])
def test_a_steady_walk_is_foreseen(rate: int) -> None:
    motion = BoxMotion(BOX)
    for step in range(1, 2 * rate):
        motion.advance(1 / rate)
        motion.correct(moved(90 * step / rate))
    # Half a second unseen.
    for _ in range(rate // 2):
        motion.advance(1 / rate)
    expected = moved(90 * ((2 * rate - 1) / rate + rate // 2 / rate))
    np.testing.assert_allclose(motion.box, expected, atol=3)


def test_foresight_does_not_depend_on_the_steps() -> None:
    motions = []
    for steps in (1, 10):
        motion = BoxMotion(BOX)
        motion.advance(0.1)
        motion.correct(moved(20))
        for _ in range(steps):
            motion.advance(0.5 / steps)
        motions.append(motion)
    np.testing.assert_allclose(motions[0].box, motions[1].box)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 2),
            st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4),
        ),
        max_size=30,
    )
)
def test_any_boxes_leave_a_finite_box(steps: list[tuple[float, list[float]]]) -> None:
    motion = BoxMotion(BOX)
    for seconds, corners in steps:
        motion.advance(seconds)
        motion.correct(np.array(corners))
        assert np.isfinite(motion.box).all()
    motion.advance(1)
    assert (motion.box[2:] > motion.box[:2]).all()
    again = BoxMotion.from_state(json.loads(json.dumps(motion.state())))
    again.advance(0.1)
    motion.advance(0.1)
    np.testing.assert_array_equal(again.box, motion.box)
