"""Find out how many frames of cameras to have on their way at once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

_FIRST = 2
"""At least, and at first, so that it shows how long a frame takes that waits for no other."""

# Times as long as such a frame: one more may be on its way; one less.
_QUICK, _SLOW = 1.7, 2.3
_WEIGHT = 0.1
# For each answer that is slow although few are on their way: the network may have become so.
_FORGET = 1.01


class Pace:
    """As many frames as the server works at, and few that wait there and grow old.

    Args:
        most: The upper limit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = min(_FIRST, most)
        self._shortest: dict[Hashable, float] = {}
        self._slowness = 1.0
        self._answers = 0
        self._reached = False
        self._measured: deque[tuple[Hashable, float]] = deque()

    def note(self, kind: Hashable, seconds: float) -> None:
        """Note how long an answer took; of one ``kind`` are equal amounts of work. Thread-safe."""
        self._measured.append((kind, seconds))

    def has_room(self, in_flight: int) -> bool:
        """Tell whether one more may be sent while this many are on their way."""
        while self._measured:
            self._learn(*self._measured.popleft())
        if in_flight < self._limit:
            return True
        self._reached = True
        return False

    def _learn(self, kind: Hashable, seconds: float) -> None:
        shortest = self._shortest.get(kind, seconds)
        if self._slowness >= _QUICK and self._limit <= _FIRST:
            shortest *= _FORGET
        self._shortest[kind] = max(min(seconds, shortest), 1e-6)
        self._slowness += _WEIGHT * (seconds / self._shortest[kind] - self._slowness)
        self._answers += 1
        if self._answers < self._limit:
            return
        if self._slowness > _SLOW:
            self._limit = max(self._limit - 1, min(_FIRST, self._most))
        elif self._slowness < _QUICK and self._reached:
            self._limit = min(self._limit + 1, self._most)
        self._answers, self._reached = 0, False
