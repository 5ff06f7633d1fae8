"""Read videos as inputs: one item for each frame."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tritonpose.errors import InputError
from tritonpose.inputs.images import FileInput, ImageInput, path_of
from tritonpose.inputs.videos import decode_video

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = logging.getLogger("tritonpose")


def read_frames(video: FileInput, file: BinaryIO | None = None) -> Iterator[ImageInput | FileInput]:
    """Read a video's frames in order, upright, with their times.

    Of a file that is given open, else of the one at its path, which is open until the last frame
    was taken or this is closed. Yields, with its problem, the file in the place of each frame that
    is damaged, and at the end of a video that breaks off, has no frames or can't be read. The log
    (at level INFO) says how many frames were read.
    """
    name = video.path or "the open file"
    count = 0
    with ExitStack() as stack:
        try:
            file = file or stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            yield FileInput(video.path, video.saved_as, f"can't read {name!r}: {error.strerror}")
            return
        for item in stack.enter_context(closing(decode_video(file, name))):
            if isinstance(item, InputError):
                yield FileInput(video.path, video.saved_as, str(item))
                continue
            count += 1
            yield ImageInput(
                path_of(video),
                item.image,
                frame_index=item.index,
                frame_time=item.time,
                saved_as=video.saved_as,
            )
    LOGGER.info("%s: %d frames read", name, count)
