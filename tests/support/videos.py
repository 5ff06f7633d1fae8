"""Videos made for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

# Little is lost.
_FINE = {"qmin": "1", "qmax": "3"}
_CODECS = {
    ".avi": ("mjpeg", "yuvj420p"),
    ".mjpeg": ("mjpeg", "yuvj420p"),
    ".y4m": ("wrapped_avframe", "yuv420p"),
    ".ts": ("mpeg4", "yuv420p"),
    ".m2ts": ("mpeg4", "yuv420p"),
}


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    codec: str | None = None,
    pixels: str | None = None,
    times: Sequence[float] | None = None,
    turned: int = 0,
    mirrored: bool = False,
    options: Mapping[str, str] | None = None,
    codec_options: Mapping[str, str] | None = None,
) -> Path:
    """Write BGR frames of one size as a video of the kind that the suffix names.

    At 10 frames per second, or at the times. To be shown turned counterclockwise, by degrees, and
    then mirrored. The options are those of FFmpeg's container and codec.
    """
    name, layout = _CODECS.get(path.suffix, ("mpeg4", "yuv420p"))
    with av.open(str(path), "w", options=dict(options or {})) as container:
        stream: Any = container.add_stream(
            codec or name, rate=10, options={**_FINE, **(codec_options or {})}
        )
        stream.pix_fmt = pixels or layout
        stream.bit_rate = 100_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turned or mirrored:
            stream.set_display_rotation(turned, hflip=mirrored)
        for index, image in enumerate(frames):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[index]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def gray_frames(count: int) -> list[np.ndarray]:
    """Frames that tell their numbers: number n is gray of about 10 n."""
    return [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(count)]


def panned(image: np.ndarray, count: int) -> list[np.ndarray]:
    """Frames of a slow pan over an image, 2 pixels each; what leaves at the left comes back."""
    return [np.roll(image, -2 * number, axis=1) for number in range(count)]


def number_of(frame: np.ndarray | bytes) -> int:
    """The number of a frame of `gray_frames`, decoded, or still the file that a camera sent."""
    if isinstance(frame, bytes):
        frame = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)
    return round(float(frame.mean()) / 10)
