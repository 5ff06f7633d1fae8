"""What can be tracked: one source, or several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.errors import InputError
from tritonpose.inputs.videos import Frame, decode_video

if TYPE_CHECKING:
    from collections.abc import Generator


class VideoFile:
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
