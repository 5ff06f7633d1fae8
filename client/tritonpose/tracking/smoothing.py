"""Smooth a person's keypoints: the One-Euro filter, in seconds and in sizes of the person."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.tracking.saved import saved_array, saved_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tritonpose.tracking.settings import TrackingSettings

    Array = NDArray[np.float64]


_FASTEST = 8.0
"""Of joints, in sizes of the person per second."""


_REST = 0.3
"""Speed up to which joints may be at rest: noise of the model looks like it."""

_FAR, _FAST = 0.15, 4.0
"""A joint that leaves the body's movement by more, in sizes, and per second, was taken for another
one; it is where it was until the next frame agrees."""


class SmoothedPose:
    """One-Euro filters of one person's joints (Casiez, Roussel and Vogel, CHI 2012).

    The cutoff follows a joint's speed in any direction, in sizes of the person per second, so that
    it is the same whatever the frame rate, the resolution and the distance. A joint whose score is
    low stays where it is on the person, who may move; between the two limits it moves the less the
    lower its score is.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        self._settings = settings
        self._points: Array | None = None
        self._speeds = np.zeros(0)
        self._center = np.zeros(2)
        self._far = np.zeros(0, bool)
        self._time = 0.0

    def reset(self) -> None:
        """Begin again with the next pose."""
        self._points = None

    def update(self, keypoints: Array, center: Array, size: float, time: float) -> Array:
        """Smooth the pose, (K, 3), at a time in seconds; the person's center and size in pixels."""
        raw = np.array(keypoints, np.float64)
        elapsed = time - self._time
        self._time = time
        if self._points is None or self._points.shape != raw[:, :2].shape:
            self._points, self._speeds = raw[:, :2].copy(), np.zeros_like(raw[:, :2])
            self._center = center
            self._far = np.zeros(len(raw), bool)
            return raw
        if elapsed > 0:
            self._points = self._step(self._points, raw, center, max(size, 1.0), elapsed)
        raw[:, :2] = self._points
        return raw

    def _step(self, points: Array, raw: Array, center: Array, size: float, elapsed: float) -> Array:
        """Move the points towards the measured ones."""
        chosen = self._settings
        low, high = chosen.frozen_score, chosen.trusted_score
        trust = np.clip((raw[:, 2] - low) / (high - low), 0, 1)[:, None]
        away = raw[:, :2] - points
        # Whole people may jump: after a stall of the camera.
        alone = np.linalg.norm(away - np.median(away, axis=0), axis=1) / size
        far = alone > max(_FAR, _FAST * elapsed)
        trust = trust * ~(far & ~self._far)[:, None]
        self._far = far
        moved = away / size / elapsed
        # What is faster is a joint that was taken for another one, at least at first.
        paces = np.sqrt((moved**2).sum(axis=1, keepdims=True))
        moved = moved * np.minimum(1, _FASTEST / np.maximum(paces, 1e-9))
        self._speeds += trust * _share(chosen.speed_cutoff_hz, elapsed) * (moved - self._speeds)
        rates = np.sqrt((self._speeds**2).sum(axis=1, keepdims=True))
        faster = np.maximum(rates - _REST, 0)
        cutoffs = chosen.min_cutoff_hz + chosen.cutoff_per_speed * faster
        held = points + np.where(trust > 0, 0.0, 1.0) * (center - self._center)
        self._center = center
        smoothed: Array = held + trust * _share(cutoffs, elapsed) * (raw[:, :2] - held)
        return smoothed

    def state(self) -> dict[str, Any] | None:
        """Return the filter in types that JSON knows; None where it has seen nothing."""
        if self._points is None:
            return None
        return {
            "points": self._points.tolist(),
            "speeds": self._speeds.tolist(),
            "center": self._center.tolist(),
            "far": self._far.tolist(),
            "time": self._time,
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any] | None, settings: TrackingSettings
    ) -> SmoothedPose:
        """Make the filter of this state."""
        smoother = cls(settings)
        if state is not None:
            smoother._points = saved_array(state["points"], -1, 2)
            smoother._speeds = saved_array(state["speeds"], *smoother._points.shape)
            smoother._center = saved_array(state["center"], 2)
            smoother._far = saved_array(state["far"], len(smoother._points)) > 0
            smoother._time = saved_number(state["time"])
        return smoother


def _share(cutoff_hz: Array | float, seconds: float) -> Any:
    """Compute what share of a change a first-order low pass takes over in one step."""
    step = 2 * math.pi * np.asarray(cutoff_hz) * seconds
    return step / (1 + step)
