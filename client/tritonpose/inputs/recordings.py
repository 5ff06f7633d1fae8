"""Sources that give every frame: video files, and frames that the caller makes."""

from __future__ import annotations

import asyncio
import io
import math
import stat
from collections.abc import AsyncIterable
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tritonpose.errors import InputError
from tritonpose.file_types import HEAD_BYTES, is_server_format
from tritonpose.inputs.arrays import checked_frame, frame_of, is_pillow
from tritonpose.inputs.streams import open_pipe, video_of_pipe
from tritonpose.inputs.videos import Frame, decode_video

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray

FRAMES_PER_SECOND = 25.0
"""The rate of frames that come without times."""


class VideoFile:
    """The frames of a video file, all of them, in order.

    ``file`` is the file where it is open already; it stays so.
    """

    live = False

    def __init__(self, name: str, file: Any = None) -> None:
        self.name = name
        self.dropped = self.reconnects = 0
        self._file = file
        self._closed = False

    def frames(self) -> Generator[Frame | InputError, None, None]:
        """See `FrameSource.frames`."""
        with ExitStack() as stack:
            try:
                file = self._open(stack)
            except InputError as error:
                yield InputError(str(error), self.name)
                return
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                yield InputError(f"can't read {self.name!r}: {why}", self.name)
                return
            for item in stack.enter_context(closing(decode_video(file, self.name))):
                if self._closed:
                    return
                yield item

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._closed = True

    def _open(self, stack: ExitStack) -> Any:
        file = self._file
        if file is None:
            path = Path(self.name)
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                return open_pipe(self.name, mode, stack)
            file = stack.enter_context(path.open("rb"))
        if isinstance(file, io.TextIOBase):
            raise InputError(f"{self.name!r} is open as text: open it in mode 'rb'")
        if hasattr(file, "seekable") and not file.seekable():
            return video_of_pipe(file, stack)
        file.seek(0)
        head = file.read(HEAD_BYTES)
        file.seek(0)
        if is_server_format(head) and head[:3] != b"\xff\xd8\xff":
            raise InputError(
                f"{self.name!r} is an image: predict is for images; convert an animation to MP4"
            )
        return file


class OwnFrames:
    """Frames that the caller makes: images, or pairs of an image and its time in seconds.

    Without times they count as 25 in a second, however fast they come, so that the results are the
    same each time.
    """

    live = False

    def __init__(
        self,
        frames: Iterable[Any] | AsyncIterable[Any],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.name = "frames"
        self.dropped = self.reconnects = 0
        self._frames, self._loop = frames, loop
        self._closed = False
        self._time: float | None = None
        self._awaited: Future[Any] | None = None

    def frames(self) -> Generator[Frame | InputError, None, None]:
        """See `FrameSource.frames`; also raises what the caller's iterator raises."""
        for index, item in enumerate(self._items()):
            if self._closed:
                return
            try:
                yield self._frame(item, index)
            except InputError as error:
                yield InputError(f"frame {index}: {error}", self.name)

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._closed = True
        if self._awaited is not None:
            self._awaited.cancel()

    def _items(self) -> Iterator[Any]:
        if not isinstance(self._frames, AsyncIterable) or self._loop is None:
            yield from cast("Iterable[Any]", self._frames)
            return
        iterator = self._frames.__aiter__()

        async def following() -> Any:
            return await anext(iterator, _END)

        while not self._closed:
            self._awaited = asyncio.run_coroutine_threadsafe(following(), self._loop)
            try:
                item = self._awaited.result()
            except CancelledError:
                return
            if item is _END:
                return
            yield item

    def _frame(self, item: Any, index: int) -> Frame:
        image, seconds = item, None
        if isinstance(item, tuple | list) and len(item) == 2:
            image, seconds = item
        pixels = _pixels(image)
        if seconds is None:
            time = 0.0 if self._time is None else self._time + 1 / FRAMES_PER_SECOND
        else:
            time = _seconds(seconds)
            if self._time is not None and time < self._time:
                raise InputError(f"its time, {time:g} s, is before that of the frame before")
        self._time = time
        return Frame(pixels, index, time)


_END = object()


def _pixels(image: Any) -> NDArray[np.uint8]:
    """Return an image that nobody else writes to; raise InputError."""
    if isinstance(image, np.ndarray):
        return checked_frame(image).copy()
    if is_pillow(image):
        return frame_of(image)
    raise InputError(
        f"a {type(image).__name__} is no frame: give arrays (height, width, 3), uint8, BGR, or "
        "pairs of such an array and its time in seconds"
    )


def _seconds(value: Any) -> float:
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        seconds = float(value)
        if math.isfinite(seconds):
            return seconds
    raise InputError(f"its time, {value!r}, is no number of seconds")
