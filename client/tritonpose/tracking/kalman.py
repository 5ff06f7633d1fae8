"""Predict where a box will be: constant velocity, disturbed by random acceleration, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# In units of the box's size, the root of its area, which is a person's of some 1 m.
_MEASURED = 0.05  # deviation of a detector's edges
_FIRST_SPEED = 1.0  # deviation of the speed before anything is known, per second
_ACCELERATION = 1.5  # root of the density of the random acceleration's power, per second^1.5
_SMALLEST = 1.0  # side of a box, in pixels


class BoxMotion:
    """A Kalman filter of a box's center, width and height, each on its own."""

    def __init__(self, box: NDArray[np.float64]) -> None:
        self._place = _measure(box)
        self._speed = np.zeros(4)
        size = self.size
        # Variance of the place, covariance with the speed, variance of the speed.
        self._spread = np.repeat(
            [[(_MEASURED * size) ** 2], [0.0], [(_FIRST_SPEED * size) ** 2]], 4, axis=1
        )

    @property
    def size(self) -> float:
        """The root of the box's area, in pixels."""
        return float(np.sqrt(self._place[2] * self._place[3]))

    @property
    def center(self) -> NDArray[np.float64]:
        """Of the box, x, y."""
        return self._place[:2].copy()

    @property
    def box(self) -> NDArray[np.float64]:
        """The box, x1, y1, x2, y2."""
        half = self._place[2:] / 2
        return np.concatenate([self._place[:2] - half, self._place[:2] + half])

    def advance(self, seconds: float) -> None:
        """Go on to a later time."""
        var, cov, var_speed = self._spread
        power = (_ACCELERATION * self.size) ** 2
        self._place = self._place + self._speed * seconds
        self._place[2:] = np.maximum(self._place[2:], _SMALLEST)
        self._spread = np.stack(
            [
                var + (2 * cov + var_speed * seconds) * seconds + power * seconds**3 / 3,
                cov + var_speed * seconds + power * seconds**2 / 2,
                var_speed + power * seconds,
            ]
        )

    def correct(self, box: NDArray[np.float64]) -> None:
        """Take in where the box was found to be now."""
        var, cov, var_speed = self._spread
        gain = 1 / (var + (_MEASURED * self.size) ** 2)
        off = _measure(box) - self._place
        self._place = self._place + var * gain * off
        self._speed = self._speed + cov * gain * off
        self._spread = np.stack(
            [var - var * gain * var, cov - var * gain * cov, var_speed - cov * gain * cov]
        )

    def state(self) -> dict[str, Any]:
        """Return the filter in types that JSON knows."""
        return {
            "place": self._place.tolist(),
            "speed": self._speed.tolist(),
            "spread": self._spread.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BoxMotion:
        """Make the filter of this state."""
        motion = cls.__new__(cls)
        motion._place = np.array(state["place"], np.float64).reshape(4)
        motion._speed = np.array(state["speed"], np.float64).reshape(4)
        motion._spread = np.array(state["spread"], np.float64).reshape(3, 4)
        return motion


def _measure(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn x1, y1, x2, y2 into center, width and height."""
    corners = np.asarray(box, np.float64)
    sides = np.maximum(corners[2:] - corners[:2], _SMALLEST)
    return np.concatenate([(corners[:2] + corners[2:]) / 2, sides])
