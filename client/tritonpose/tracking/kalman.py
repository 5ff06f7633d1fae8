"""Predict where a person will be: constant velocity, disturbed by acceleration, in seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.tracking.saved import saved_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# In units of the box's size, the root of its area, which is a person's of some 1 m.
_MEASURED = 0.04  # deviation of a measured place, and what is added to it where joints scatter
_SCATTERED = 2.0
_FIRST_SPEED = 1.5  # deviation of the speed before anything is known, per second
_ACCELERATION = 4.5  # deviation of the acceleration, per second squared
_SMALLEST = 1.0  # side of a box, in pixels
# Who is not seen may have stopped: the speed falls to 1/e in this time.
_FADING_S = 0.7
# What share of a change of the box's sides is taken over.
_RESIZED = 0.3


class BoxMotion:
    """A Kalman filter of a person's place, and the box around it.

    The sides of the box have no speed: they change most where people overlap, and then mislead.
    """

    def __init__(self, box: NDArray[np.float64]) -> None:
        corners = np.asarray(box, np.float64)
        self._place = (corners[:2] + corners[2:]) / 2
        self._speed = np.zeros(2)
        self._sides = np.maximum(corners[2:] - corners[:2], _SMALLEST)
        # Variance of the place, covariance with the speed, variance of the speed.
        size = self.size
        self._spread = np.array([(_MEASURED * size) ** 2, 0.0, (_FIRST_SPEED * size) ** 2])

    @property
    def size(self) -> float:
        """The root of the box's area, in pixels."""
        return float(np.sqrt(self._sides.prod()))

    @property
    def center(self) -> NDArray[np.float64]:
        """Of the box, x, y."""
        return self._place.copy()

    @property
    def box(self) -> NDArray[np.float64]:
        """The box, x1, y1, x2, y2."""
        return np.concatenate([self._place - self._sides / 2, self._place + self._sides / 2])

    def advance(self, seconds: float, *, lost: bool) -> None:
        """Go on to a later time; ``lost`` where the person was not seen the last time."""
        kept = math.exp(-seconds / _FADING_S) if lost else 1.0
        self._place = self._place + self._speed * (_FADING_S * (1 - kept) if lost else seconds)
        self._speed = self._speed * kept
        var, cov, var_speed = self._spread
        power = (_ACCELERATION * self.size) ** 2
        self._spread = np.array(
            [
                var + (2 * cov + var_speed * seconds) * seconds + power * seconds**4 / 4,
                cov + var_speed * seconds + power * seconds**3 / 2,
                var_speed + power * seconds**2,
            ]
        )

    def correct(self, place: NDArray[np.float64], scatter: float) -> None:
        """Take in where the person was found to be now.

        ``scatter`` is by how much joints disagree about it, in sizes of the person.
        """
        var, cov, var_speed = self._spread
        gain = 1 / (var + ((_MEASURED + _SCATTERED * scatter) * self.size) ** 2)
        off = place - self._place
        self._place = self._place + var * gain * off
        self._speed = self._speed + cov * gain * off
        self._spread = np.array(
            [var - var * gain * var, cov - var * gain * cov, var_speed - cov * gain * cov]
        )

    def resize(self, box: NDArray[np.float64]) -> None:
        """Take in how large the person was found to be."""
        sides = np.maximum(np.asarray(box, np.float64)[2:] - box[:2], _SMALLEST)
        self._sides = self._sides * (sides / self._sides) ** _RESIZED

    def state(self) -> dict[str, Any]:
        """Return the filter in types that JSON knows."""
        return {
            "place": self._place.tolist(),
            "speed": self._speed.tolist(),
            "sides": self._sides.tolist(),
            "spread": self._spread.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BoxMotion:
        """Make the filter of this state."""
        motion = cls.__new__(cls)
        motion._place = saved_array(state["place"], 2)
        motion._speed = saved_array(state["speed"], 2)
        motion._sides = np.maximum(saved_array(state["sides"], 2), _SMALLEST)
        motion._spread = saved_array(state["spread"], 3)
        if min(motion._spread[0], motion._spread[2]) < 0:
            raise ValueError("a variance is below 0")
        return motion
