"""Turn the argument of ``track`` into sources of frames."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from tritonpose.errors import ConfigError
from tritonpose.inputs.addresses import SCHEME, local_path, masked, misspelled_address
from tritonpose.inputs.arrays import is_pillow
from tritonpose.inputs.cameras import Camera
from tritonpose.inputs.devices import device_of, open_device, open_rtsp
from tritonpose.inputs.recordings import OwnFrames, VideoFile
from tritonpose.inputs.web_videos import open_web_video

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

    from tritonpose.errors import InputError
    from tritonpose.inputs.videos import Frame

_KNOWN = (
    "a video file, a camera (0, /dev/video0), an rtsp://, http:// or https:// address, or an "
    "iterator of frames or of (frame, seconds)"
)
_DEVICE = re.compile(r"/dev/video\d+|/dev/v4l/.+")


class FrameSource(Protocol):
    """Frames in order, with their times.

    Attributes:
        name: For results and messages: without passwords.
        live: Whether only the newest frame counts, as of a camera; that of an http address is known
            once `frames` has given one, and False before.
        dropped: Frames that came and that nobody was ready for, or that were damaged.
        reconnects: How often frames came again after an interruption.
    """

    name: str
    live: bool
    dropped: int
    reconnects: int

    def frames(self) -> Generator[Frame | InputError, None, None]:
        """Open the source, and yield its frames, and errors in the places of unreadable ones.

        To be called once. A camera has no end: it connects again by itself.
        """
        ...

    def close(self) -> None:
        """End `frames`, from any thread."""
        ...


def open_sources(
    source: object, loop: asyncio.AbstractEventLoop | None = None
) -> list[FrameSource]:
    """Make the sources of one source, of a list of these, or of a list of frames.

    Cameras among several are patient: one that can't be reached is tried again, and the log says
    so. ``loop`` runs asynchronous iterators. Raises ConfigError.
    """
    if not isinstance(source, list | tuple):
        return [open_source(source, loop=loop)]
    if not source:
        raise ConfigError(f"no source was given: give {_KNOWN}, or a list of these")
    if all(_is_frame(item) for item in source):
        return [OwnFrames(source)]
    if len(source) == 2 and _is_frame(source[0]):
        raise ConfigError("a frame and its time are no source: give an iterator of such pairs")
    return [open_source(item, patient=len(source) > 1, loop=loop) for item in source]


def open_source(
    source: object, *, patient: bool = False, loop: asyncio.AbstractEventLoop | None = None
) -> FrameSource:
    """Make the source of one argument; nothing is opened yet. See `open_sources`."""
    if hasattr(source, "frames") and hasattr(source, "close"):
        return cast("FrameSource", source)
    if isinstance(source, int | np.integer) and not isinstance(source, bool):
        return _camera_of_number(int(source), patient)
    if isinstance(source, str | os.PathLike):
        return _source_of_text(os.fsdecode(source), patient)
    if isinstance(source, np.ndarray) and source.ndim == 4:
        return OwnFrames(source)
    if _is_frame(source):
        raise ConfigError("a single image is no source: predict is for images")
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return VideoFile(name if isinstance(name, str) else "the open file", source)
    if isinstance(source, AsyncIterable):
        if loop is None:
            raise ConfigError("asynchronous iterators are for AsyncPipeline.track")
        return OwnFrames(source, loop)
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes | bytearray):
        return OwnFrames(source)
    raise ConfigError(f"a {type(source).__name__} is no source: give {_KNOWN}")


def _is_frame(value: Any) -> bool:
    if isinstance(value, tuple | list) and len(value) == 2:
        value = value[0]
    return (isinstance(value, np.ndarray) and value.ndim < 4) or is_pillow(value)


def _camera_of_number(number: int, patient: bool) -> FrameSource:
    if number < 0:
        raise ConfigError(f"{number}: cameras are counted from 0")
    return Camera(str(number), lambda: open_device(device_of(number)), patient=patient)


def _source_of_text(text: str, patient: bool) -> FrameSource:
    path = local_path(text)
    if not os.path.lexists(path):
        path = path.strip()
    if not path:
        raise ConfigError(f"'' is no source: give {_KNOWN}")
    if re.fullmatch(r"\d{1,4}", path) and not Path(path).exists():
        return _camera_of_number(int(path), patient)
    if _DEVICE.fullmatch(path):
        return Camera(path, partial(open_device, path), patient=patient)
    scheme = SCHEME.match(path)
    if scheme is None and (problem := misspelled_address(path)) is not None:
        raise ConfigError(problem)
    if scheme is None or os.path.lexists(path):
        if Path(path).is_dir():
            raise ConfigError(f"{path!r} is a directory: name the videos in it")
        return VideoFile(path)
    name = masked(path)
    if not re.match(r"[^/?#]", path[scheme.end() :]):
        raise ConfigError(f"{name!r} names no host")
    kind = scheme[1].lower()
    if kind in ("http", "https"):
        return Camera(name, partial(open_web_video, path), patient=patient, live=False)
    if kind in ("rtsp", "rtsps"):
        return Camera(name, partial(open_rtsp, path), patient=patient)
    raise ConfigError(f"{name!r}: {kind}:// addresses aren't read: give {_KNOWN}")
