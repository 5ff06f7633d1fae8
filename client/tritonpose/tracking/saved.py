"""Read back numbers that a tracker has saved, which may have been changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Beyond all that a tracker has: variances of places, in square pixels, are the largest.
_LARGEST = 1e15


def saved_array(value: Any, *shape: int) -> NDArray[np.float64]:
    """Return an array of a shape; TypeError or ValueError if it isn't one of usual numbers."""
    array = np.array(value, np.float64).reshape(shape)
    # False for NaN, too.
    if not (np.abs(array) <= _LARGEST).all():
        raise ValueError("a number is out of range")
    return array


def saved_number(value: Any) -> float:
    """Return a number; otherwise as `saved_array`."""
    return float(saved_array(value))


def saved_count(value: Any) -> int:
    """Return a number from 1 up; otherwise as `saved_array`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is no id of a person")
    return value
