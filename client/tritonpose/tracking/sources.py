"""What can be tracked: one source, or several."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tritonpose.errors import ConfigError, InputError
from tritonpose.inputs.videos import Frame, decode_video

if TYPE_CHECKING:
    from collections.abc import Generator

    from tritonpose.tracking.feed import FrameSource


class RecordedFile:
    """The frames of a video file."""

    live = False

    def __init__(self, name: str) -> None:
        self.name = name

    def frames(self) -> Generator[Frame | InputError, None, None]:
        """See `FrameSource.frames`."""
        try:
            with Path(self.name).open("rb") as file:
                yield from decode_video(file, self.name)
        except OSError as error:
            yield InputError(f"can't read {self.name!r}: {error.strerror}", self.name)

    def close(self) -> None:
        """See `FrameSource.close`."""


def open_sources(source: object, loop: object = None) -> list[FrameSource]:
    """Make the sources of one, or of a list of them."""
    del loop
    return [_open(item) for item in (source if isinstance(source, list | tuple) else [source])]


def _open(item: object) -> FrameSource:
    if hasattr(item, "frames") and hasattr(item, "close"):
        return cast("FrameSource", item)
    if isinstance(item, str | os.PathLike):
        return RecordedFile(os.fspath(item))
    raise ConfigError(f"a {type(item).__name__} is no source")
