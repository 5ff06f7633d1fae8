"""Decide in which frames the detector looks for people, and where to follow them between."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import numpy as np

from tritonpose.config import is_positive
from tritonpose.errors import ConfigError
from tritonpose.inputs.decoding import decode_small
from tritonpose.tracking.cuts import SceneCuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.inputs.videos import Frame
    from tritonpose.tracking.regions import Regions
    from tritonpose.tracking.tracker import Tracker

DetInterval = int | Literal["auto"]

_LONGEST_FRAMES = 10
_LONGEST_S = 0.4
"""Of "auto": between detections, so that newcomers are found soon."""

_BUSY_FRAMES = 3
"""The same, at least, of cameras whose frames come rarely as a server has too much to do: with a
detection in each it would have even more."""

_LAG = 2
"""How many frames of a recording are on their way at once between detections."""


class DetectionPlan:
    """The plan of one source: for each frame that is sent, detect or follow.

    A plan is made of the tracker's state of a fixed number of frames before, however many requests
    are in flight, so that the results are the same. After a detection the next frame waits for
    what it finds.

    Args:
        interval: A detection in each frame of this number, or "auto".

    Attributes:
        saw_cut: Whether a scene began with the frame that was taken last; None if unknown.
    """

    def __init__(self, interval: DetInterval) -> None:
        self._auto = interval == "auto"
        self._interval = 2 if interval == "auto" else interval
        self._every_frame = interval == 1
        self._plans: deque[Regions | None] = deque([None])
        self._planned = 1
        self._taken = self._noted = 0
        self._detection = 0
        self.saw_cut: bool | None = None
        self._cuts = SceneCuts()
        self._last_time: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the next frame is planned."""
        return self._every_frame or bool(self._plans)

    def take(self, frame: Frame) -> Regions | None:
        """Say whom to look for in the next frame; None: let the detector look for all."""
        self.saw_cut = self._looks_new(frame.image)
        if self._every_frame:
            return None
        plan = self._plans.popleft()
        if self.saw_cut and plan is not None:
            # Whatever was planned after it is of the scene before.
            plan = None
            self._plans.clear()
            self._planned = self._taken + 1
            self._detection = self._taken
        self._taken += 1
        return plan

    def note(self, tracker: Tracker, regions: Regions | None, time: float, *, live: bool) -> None:
        """Plan further frames, now that the tracker knows what was found in the next one."""
        if self._every_frame:
            return
        step = 0.0 if self._last_time is None else time - self._last_time
        self._last_time = time
        if self._auto and step > 0:
            self._adapt(tracker.trouble, regions, step, _BUSY_FRAMES if live else 1)
        noted = self._noted
        self._noted += 1
        lag = 1 if live else _LAG
        while self._planned <= noted + lag and self._detection <= noted:
            detect = tracker.trouble or self._planned - self._detection >= self._interval
            if detect:
                self._detection = self._planned
            self._plans.append(None if detect else tracker.regions(sparse=self._auto))
            self._planned += 1

    def _adapt(self, trouble: bool, regions: Regions | None, step: float, least: int) -> None:
        """Look more often where people get lost, and more rarely where they don't."""
        longest = max(min(_LONGEST_FRAMES, round(_LONGEST_S / step)), least)
        if trouble:
            self._interval = max(self._interval // 2, 2)
        elif regions is None:
            self._interval *= 2
        self._interval = min(self._interval, longest)

    def _looks_new(self, image: NDArray[np.uint8] | bytes) -> bool | None:
        """Whether a frame looks like another scene than the one before; None if unknown."""
        if isinstance(image, np.ndarray):
            return self._cuts.sees(image)
        small = None if self._every_frame else decode_small(image)
        return None if small is None else self._cuts.sees(small)


def check_interval(interval: object) -> DetInterval:
    """Check the argument ``det_interval``; raise ConfigError."""
    if interval == "auto" and isinstance(interval, str):
        return "auto"
    if isinstance(interval, int) and is_positive(interval):
        return interval
    raise ConfigError(
        f"det_interval={interval!r}: expected a positive whole number of frames, or 'auto'"
    )
