"""A bound on the memory that decoded images take together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tritonpose_pipeline.errors import MemoryDeadlineError


class PixelBudget:
    """Lets images in while their pixels, summed up, stay below a bound. Thread-safe."""

    def __init__(self, pixels: int) -> None:
        """Make a budget.

        Args:
            pixels: The bound. A larger image has to be alone.
        """
        self._limit = pixels
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int, timeout: float) -> Iterator[None]:
        """Wait until an image fits, and count it for as long as the context lasts.

        Args:
            pixels: Width times height of the image.
            timeout: Seconds to wait at most.

        Raises:
            MemoryDeadlineError: It did not fit in time.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._used == 0 or self._used + pixels <= self._limit, max(timeout, 0)
            ):
                raise MemoryDeadlineError("no memory became free for an image of this size in time")
            self._used += pixels
        try:
            yield
        finally:
            with self._changed:
                self._used -= pixels
                self._changed.notify_all()
