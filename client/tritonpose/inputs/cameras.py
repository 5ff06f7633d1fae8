"""Read cameras and streams: the newest frame first, and connect again when they break off."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonpose.errors import InputError
from tritonpose.inputs.clocks import LiveClock
from tritonpose.inputs.videos import Decoding, Frame, choose_stream, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from av.container import InputContainer
    from av.video.stream import VideoStream

LOGGER = logging.getLogger("tritonpose")

MOST_STALE_S = 0.5
"""How old a camera's frame may be before it is dropped, in seconds."""

_AHEAD = 2
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
# A connection that lasted so long was a good one.
_GOOD_S = 5.0
# Of FFmpeg: formats whose frames have no times of their own.
_NO_TIMESTAMPS = 0x80


class ConnectError(Exception):
    """A source can't be opened.

    ``final``: trying again is of no use before the user has done something.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True)
class OpenStream:
    """An open source.

    Attributes:
        container: Of FFmpeg.
        live: Whether it has no end, so that old frames are dropped.
        bursts: Whether many frames come at a time, as in the parts of HLS, to be shown one by one.
        problem: What went wrong beneath FFmpeg, which knows nothing of it; "" for nothing.
        frame_came: Tells what is beneath FFmpeg that a frame came.
    """

    container: InputContainer
    live: bool = True
    bursts: bool = False
    problem: Callable[[], str] = str
    frame_came: Callable[[], object] = str


class Camera:
    """A camera, or another address that gives frames; a recording where it has an end.

    A thread reads and decodes, so that a silent camera holds nobody. It connects again, ever less
    often, once frames came or where that may help.

    Args:
        name: Without passwords.
        connect: Opens the source; raises ConnectError. It must not wait for ever.
        patient: Log what fails at first, and go on trying, in place of an error.
        live: What it is taken for until it was opened.

    Attributes:
        recording: Whether it is known to have an end, so that what fails is not tried again.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], AbstractContextManager[OpenStream]],
        *,
        patient: bool = False,
        live: bool = True,
    ) -> None:
        self.name = name
        self.live = live
        self.dropped = self.reconnects = 0
        self._connect = connect
        self._patient = patient
        self._count = 0
        self.recording = False
        self._clock = LiveClock()
        self._items: deque[Frame | InputError] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def frames(self) -> Generator[Frame | InputError, None, None]:
        """See `FrameSource.frames`."""
        # A daemon: FFmpeg may wait for a silent camera, up to its timeouts.
        threading.Thread(target=self._run, name="tritonpose-camera", daemon=True).start()
        try:
            while (item := self._take()) is not None:
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """See `FrameSource.close`."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def _take(self) -> Frame | InputError | None:
        with self._changed:
            while not self._closed:
                if self._items:
                    item = self._items.popleft()
                    self._changed.notify_all()
                    if not self._is_stale(item):
                        return item
                    self.dropped += 1
                elif self._ended:
                    return None
                else:
                    self._changed.wait()
        return None

    def _is_stale(self, item: Frame | InputError) -> bool:
        return (
            isinstance(item, Frame)
            and item.arrived is not None
            and time.monotonic() - item.arrived > MOST_STALE_S
        )

    def _put(self, item: Frame | InputError) -> None:
        with self._changed:
            if self.live:
                while self._items and isinstance(self._items[-1], Frame):
                    self._items.pop()
                    self.dropped += 1
            while len(self._items) >= _AHEAD and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, max(0.0, seconds))

    def _run(self) -> None:
        try:
            self._read_on()
        except Exception as error:
            # Not FFmpeg's text, which has the address in it.
            self._put(InputError(f"can't read {self.name!r}: {type(error).__name__}", self.name))
            LOGGER.debug("%s", self.name, exc_info=not isinstance(error, OSError))
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_on(self) -> None:
        """Read until the end of a recording, or until this is closed."""
        failures = 0
        while not self._closed:
            began, before = time.monotonic(), self._count
            failure = self._read_once()
            if self._closed or (failure is None and self.recording):
                return
            came = self._count > before
            if self.recording and came:
                problem = f"{self.name!r} breaks off after {self._count} frames: {failure}"
                self._put(InputError(problem, self.name))
                return
            if came and time.monotonic() - began > _GOOD_S:
                failures = 0
            final = failure is not None and (failure.final or self.recording)
            if self._count == 0 and (final or (failures == 0 and not self._patient)):
                self._put(InputError(f"can't open {self.name!r}: {failure}", self.name))
                if final:
                    return
            pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures, 8))
            pause *= random.uniform(0.5, 1.0)  # noqa: S311 (many clients, not all at once)
            level = logging.WARNING if failures == 0 or came else logging.INFO
            LOGGER.log(
                level,
                "%s: %s; connecting again in %.1f s",
                self.name,
                failure or "its stream ended",
                pause,
            )
            failures += 1
            self._pause(pause)

    def _read_once(self) -> ConnectError | None:
        """Connect and read to the end of the connection; return what broke it."""
        import av
        from av.stream import Discard

        with ExitStack() as stack:
            connection = None
            first = self._count
            try:
                connection = stack.enter_context(self._connect())
                self.live = connection.live
                self.recording = not connection.live
                stream = choose_stream(connection.container)
                if stream is None:
                    return ConnectError("it has no video", final=True)
                for other in connection.container.streams:
                    # Not fetched, where the source lets choose.
                    other.discard = Discard.none if other is stream else Discard.all
                for item in self._decode(connection, stream):
                    if self._count == first and self._count > 0:
                        self.reconnects += 1
                        LOGGER.info("%s: frames come again", self.name)
                    if self._closed:
                        return None
                    self._count += 1
                    connection.frame_came()
                    if isinstance(item, InputError) and connection.live:
                        self.dropped += 1
                    else:
                        self._put(item)
            except ConnectError as error:
                return error
            except (av.FFmpegError, OSError, ValueError) as error:
                problem = connection.problem() if connection is not None else ""
                return ConnectError(problem or reason_of(error))
            if problem := connection.problem():
                return ConnectError(problem)
            if self._count == first:
                return ConnectError("it has no frames")
        return None

    def _decode(self, connection: OpenStream, stream: VideoStream) -> Iterator[Frame | InputError]:
        """Yield the frames of a connection when they are due."""
        if not connection.live:
            yield from Decoding(connection.container, stream, self.name).frames()
            return
        timeless = bool(connection.container.format.flags & _NO_TIMESTAMPS)
        self._clock.restart()

        def time_of(seconds: float | None) -> float:
            if connection.bursts:
                self._pause(self._clock.wait_for(seconds))
            return self._clock.time_of(None if timeless else seconds)

        decoding = Decoding(
            connection.container, stream, self.name, first=self._count, live=True, clock=time_of
        )
        for item in decoding.frames():
            yield replace(item, arrived=time.monotonic()) if isinstance(item, Frame) else item
