"""Videos made for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


def write_video(path: Path, frames: Iterable[np.ndarray]) -> Path:
    """Write BGR frames of one size as a video of the kind that the suffix names."""
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer: cv2.VideoWriter | None = None
    for frame in frames:
        if writer is None:
            size = frame.shape[1], frame.shape[0]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, size)
            assert writer.isOpened(), f"this OpenCV can't write {path.suffix} files"
        writer.write(frame)
    assert writer is not None
    writer.release()
    return path


def gray_frames(count: int) -> list[np.ndarray]:
    """Frames that tell their numbers: number n is gray of about 10 n."""
    return [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(count)]


def number_of(frame: np.ndarray) -> int:
    """The number of a frame of `gray_frames`, decoded."""
    return round(float(frame.mean()) / 10)
