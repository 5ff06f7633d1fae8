"""Draw the ways that people came: the last places of each, in the color of the id."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2

from tritonpose.drawing.labels import line_width, person_color

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# OpenCV takes places between pixels in these fractions, and lines that end no further out.
_SHIFT = 3
_FAR = 2**15


@dataclass
class _Way:
    """Where the people of one source were: times and middles of their boxes, by id."""

    time: float
    places: dict[int, deque[tuple[float, float, float]]] = field(default_factory=dict)


class Trails:
    """Where people were in the last seconds, in any number of sources.

    Give one to each drawing of a run: it remembers what is drawn with it. For one thread at a time.

    Args:
        seconds: How far back a trail goes.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        self.seconds = seconds
        self._ways: dict[Hashable, _Way] = {}

    def draw(
        self,
        canvas: NDArray[np.uint8],
        source: Hashable,
        time: float,
        ids: Iterable[int | None],
        boxes: NDArray[np.float32],
    ) -> None:
        """Remember where people are, and draw the ways they came on BGR, in place.

        The people are those of one frame of a source, at a time in seconds, with their ids and
        their boxes, (N, 4), x1, y1, x2, y2. A frame may be drawn again; an earlier one, as
        of a source that starts over, makes its trails start over.
        """
        way = self._ways.get(source)
        if way is None or time < way.time:
            way = self._ways[source] = _Way(time)
        way.time = time
        for number, (x1, y1, x2, y2) in zip(ids, boxes.tolist(), strict=True):
            if number is None:
                continue
            places = way.places.setdefault(number, deque())
            if places and places[-1][0] == time:
                places.pop()
            places.append((time, (x1 + x2) / 2, (y1 + y2) / 2))
        for number, places in list(way.places.items()):
            while places and time - places[0][0] > self.seconds:
                places.popleft()
            if places:
                self._draw_one(canvas, time, places, person_color(number))
            else:
                del way.places[number]

    def _draw_one(
        self,
        canvas: NDArray[np.uint8],
        now: float,
        places: deque[tuple[float, float, float]],
        color: tuple[int, int, int],
    ) -> None:
        """Draw one trail, thinner the older it is."""
        width = line_width(canvas) + 1
        before = None
        for time, x, y in places:
            left, top = (round(min(max(v, -_FAR), _FAR) * 2**_SHIFT) for v in (x, y))
            if before is not None:
                share = 1 - (now - time) / self.seconds if self.seconds else 1
                thick = max(1, round(width * share))
                cv2.line(canvas, before, (left, top), color, thick, cv2.LINE_AA, _SHIFT)
            before = left, top
