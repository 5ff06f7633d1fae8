"""Videos: one image per frame, read as the frames are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tritonpose.inputs.containers import is_cut_short
from tritonpose.inputs.images import FileInput, ImageInput

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_frames(video: FileInput) -> Iterator[ImageInput | FileInput]:
    """Reads a video's frames in order, as decoded images, with its rotation applied.

    Args:
        video: A video file. It is open until the last frame was taken or this is closed.

    Yields:
        The frames; then, if the video can't be opened, has no frames or is truncated, the file
        with its problem.
    """
    import cv2

    count = 0
    capture = cv2.VideoCapture(video.path)
    try:
        opened = capture.isOpened()
        while True:
            read, frame = capture.read()
            if not read:
                break
            image = np.asarray(frame, dtype=np.uint8)
            yield ImageInput(video.path, image, frame_index=count, saved_as=video.saved_as)
            count += 1
    finally:
        capture.release()
    problem = _problem(video.path, opened, count)
    if problem is not None:
        yield FileInput(video.path, video.saved_as, f"{video.path!r} {problem}")


def _problem(path: str, opened: bool, frames: int) -> str | None:
    """Says what is wrong with a video whose readable frames were read; None if nothing."""
    if is_cut_short(path):
        # Most of OpenCV's errors look like the end of the video.
        read = f"after {frames} frames" if frames else "before its first frame"
        return f"is a truncated video: it breaks off {read}"
    if not opened:
        return (
            "can't be opened as a video: it is damaged, or of a kind that this OpenCV can't "
            "decode; ffmpeg can say more, and convert it to MP4"
        )
    return None if frames else "is a video without frames"
