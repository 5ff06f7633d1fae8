"""Read one source in a thread of its own, as far ahead as is useful."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

from tritonpose.errors import InputError
from tritonpose.inputs.cameras import MOST_STALE_S
from tritonpose.inputs.videos import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tritonpose.inputs.sources import FrameSource

_AHEAD = 2
"""Frames of a recording that are read before there is room for their requests."""

_JOIN_S = 2.0


class Feed:
    """The frames of one source that wait for their turn.

    Of a live source only the newest waits; the ones it replaces count as dropped.
    """

    def __init__(self, source: FrameSource) -> None:
        self.source = source
        self._items: deque[Frame | InputError] = deque()
        self._changed = threading.Condition()
        self._ended = self._stopped = False
        self._notify: Callable[[], object] = lambda: None
        self._thread: threading.Thread | None = None

    def start(self, notify: Callable[[], object]) -> None:
        """Begin to read; ``notify`` is called after each change, from the reading thread."""
        self._notify = notify
        self._thread = threading.Thread(target=self._read, name="tritonpose-frames", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End reading; frames that wait are dropped."""
        with self._changed:
            self._stopped = True
            self._notify = lambda: None
            self._items.clear()
            self._changed.notify_all()
        self.source.close()

    def join(self) -> None:
        """Wait for the end of reading, but not long: an iterator may never return."""
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    @property
    def waits(self) -> bool:
        """Whether a frame waits that is not too old, or an error in the place of one."""
        with self._changed:
            while self._items and _is_stale(self._items[0]):
                self._items.popleft()
                self.source.dropped += 1
                self._changed.notify_all()
            return bool(self._items)

    @property
    def ended(self) -> bool:
        """Whether nothing waits and nothing will come."""
        return self._ended and not self.waits

    def take(self) -> Frame | InputError:
        """Take the next frame, or the error in its place; only where one `waits`."""
        with self._changed:
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def _read(self) -> None:
        try:
            with closing(self.source.frames()) as frames:
                for item in frames:
                    if not self._put(item):
                        break
        except Exception as error:
            # Of the caller's iterator.
            name = self.source.name
            failure = InputError(f"{name!r} failed: {type(error).__name__}: {error}", name)
            failure.__cause__ = error
            self._put(failure)
        finally:
            with self._changed:
                self._ended = True
            self._notify()

    def _put(self, item: Frame | InputError) -> bool:
        """Let a frame wait; return False once the feed is stopped."""
        with self._changed:
            if self.source.live and isinstance(item, Frame):
                while self._items and isinstance(self._items[-1], Frame):
                    self._items.pop()
                    self.source.dropped += 1
            while len(self._items) >= _AHEAD and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return False
            self._items.append(item)
        self._notify()
        return True


def _is_stale(item: Frame | InputError) -> bool:
    """Whether a frame of a camera has waited for so long that the next one is better."""
    arrived = item.arrived if isinstance(item, Frame) else None
    return arrived is not None and time.monotonic() - arrived > MOST_STALE_S
