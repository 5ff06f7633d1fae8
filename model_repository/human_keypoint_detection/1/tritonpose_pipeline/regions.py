"""Where people are looked for: in boxes that were found elsewhere, and in a region of the image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_MAX_CORNERS = 1000

# Boxes and regions may reach beyond the image; this is far more than any image has.
_MAX_COORDINATE = 1_000_000


class RegionError(ValueError):
    """Boxes or a region can't be used."""


def check_boxes(boxes: object, name: str) -> FloatArray:
    """Check boxes, ``[N, 4]``, x1, y1, x2, y2 in pixels; they may reach beyond the image.

    An array, or lists of numbers. RegionError calls them ``name``.
    """
    nobody = isinstance(boxes, list | tuple) and not boxes
    checked = np.zeros((0, 4), np.float32) if nobody else _numbers(boxes, name)
    if checked.ndim != 2 or checked.shape[1] != 4:
        raise RegionError(
            f"{name} must be float32 [N, 4] (x1, y1, x2, y2), got {list(checked.shape)}"
        )
    proper = _near(checked) & (checked[:, 2:] > checked[:, :2]).all(axis=1)
    if not proper.all():
        index = int(np.argmin(proper))
        raise RegionError(
            f"{name} must have x1 < x2 and y1 < y2 within {_MAX_COORDINATE} pixels, "
            f"box {index} is {checked[index].tolist()}"
        )
    return checked


def check_region(corners: object, name: str) -> FloatArray:
    """Check the corners of a polygon, ``[M, 2]``, x, y in pixels; RegionError calls it ``name``.

    An array, or lists of numbers. It may be concave, end where it began, and reach beyond the
    image; where it crosses itself, the even-odd rule holds.
    """
    checked = _numbers(corners, name)
    if checked.ndim != 2 or checked.shape[1] != 2:
        raise RegionError(f"{name} must be float32 [M, 2] (x, y), got {list(checked.shape)}")
    if not 3 <= len(checked) <= _MAX_CORNERS:
        raise RegionError(
            f"{name} must be a polygon of 3 to {_MAX_CORNERS} corners, got {len(checked)}"
        )
    near = _near(checked)
    if not near.all():
        index = int(np.argmin(near))
        raise RegionError(
            f"{name} must have coordinates within {_MAX_COORDINATE} pixels, corner {index} is "
            f"{checked[index].tolist()}"
        )
    sides = checked.astype(np.float64) - checked[0]
    if np.linalg.matrix_rank(sides) < 2:
        raise RegionError(f"{name} must have an area; its corners lie on one line")
    return checked


def _numbers(values: object, name: str) -> FloatArray:
    try:
        # What is too large becomes infinite, which is refused.
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise RegionError(f"{name} must be lists of numbers, all of one length") from None


def _near(points: FloatArray) -> npt.NDArray[np.bool_]:
    # Written so that NaN is improper, too.
    return np.asarray((np.abs(points) <= _MAX_COORDINATE).all(axis=1), np.bool_)
