"""Tell when the frames of a camera were taken, from its own times and from when they came."""

from __future__ import annotations

import time

_SANE_S = 1.0
_LATE_S = 0.5
_FAR_S = 60.0


class LiveClock:
    """Seconds since the first connection, for the frames of one camera.

    A camera's own times are even where the network's are not. They are trusted as long as they are
    within a second of what is measured here; the frame that came with least delay relates the two.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._offset: float | None = None

    def restart(self) -> None:
        """Forget the camera's times: it begins again."""
        self._offset = None
        self.elapsed()

    def elapsed(self) -> float:
        """Return the seconds since the first call."""
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began

    def time_of(self, seconds: float | None) -> float:
        """Return the time of a frame that comes now, from the one its stream gives it, if any."""
        elapsed = self.elapsed()
        if seconds is None:
            return elapsed
        offset = elapsed - seconds
        if self._offset is None or offset < self._offset or offset > self._offset + _SANE_S:
            self._offset = offset
        return max(0.0, seconds + self._offset)

    def wait_for(self, seconds: float | None) -> float:
        """Return for how long to hold a frame that came with many others, until its own time."""
        if seconds is None:
            return 0.0
        elapsed = self.elapsed()
        if self._offset is None or not -_LATE_S < seconds + self._offset - elapsed < _FAR_S:
            self._offset = elapsed - seconds
        return max(0.0, seconds + self._offset - elapsed)
