"""Write videos with PyAV: each frame at its own time, the file whole or not at all."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tritonpose.errors import ConfigError, TritonPoseError
from tritonpose.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

# FFmpeg's containers that keep each frame's own time, by suffix.
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
VIDEO_SUFFIXES = tuple(_CONTAINERS)
"""Suffixes of the videos that can be written."""

# The first that this FFmpeg has; H.264 plays in browsers. Without frames out of order, for which
# containers would need to know the future of a camera.
_CODECS = {
    "libx264": {"preset": "veryfast", "crf": "21", "bf": "0"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(4 * 118), "bf": "0"},
}
# Ticks of a second: whole numbers of them are the frames of 24, 25, 30, 50, 60 and 29.97 a second.
# MPEG-4 has 16 bits for it.
_TICKS = 60_000
# For the encoder's choice of a level alone: frames come when they come.
_RATE = 30
# Hardware of players ends there, and encoding more takes seconds a frame.
_MAX_SIDE = 4096
_MIN_SIDE = 16


class VideoWriter:
    """A video that takes its place when it is closed, with the frames that were written by then.

    H.264, or MPEG-4 where the installed FFmpeg has no encoder of H.264, without sound. Without a
    frame there is no file; nor where encoding or the disk failed. As a context manager it is closed
    at the end in any case, so that an interrupt leaves a video that plays.

    Args:
        path: The file, as what its suffix says, of `VIDEO_SUFFIXES`. Missing directories are made.
        codecs: Names of FFmpeg's encoders, of those known here; the first that exists is taken.

    Raises:
        ConfigError: The suffix is another one.
    """

    def __init__(
        self, path: str | os.PathLike[str], codecs: Sequence[str] = tuple(_CODECS)
    ) -> None:
        self._path = Path(path)
        suffix = self._path.suffix.lower()
        if suffix not in _CONTAINERS:
            raise ConfigError(
                f"{str(path)!r} isn't a name for a video: one of {', '.join(VIDEO_SUFFIXES)} is "
                "written"
            )
        self._format = _CONTAINERS[suffix]
        self._codecs = codecs
        self._files = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._start = 0.0
        self._tick = -1

    def write(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame.

        Args:
            image: (H, W, 3) uint8, BGR. The video has the size of the first one, made even by
                another row and column, and of no more than 4096 pixels a side; frames of other
                sizes are scaled into it, with black beside them.
            seconds: Its time; the first frame's counts as the beginning. One that doesn't follow
                the last is shown right after it.

        Raises:
            TritonPoseError: The frame can't be encoded or saved; nothing is left of the video.
        """
        import av

        try:
            if self._container is None:
                self._open(image, seconds)
            ticks = round((seconds - self._start) * _TICKS)
            self._tick = max(ticks, self._tick + 1)
            # By OpenCV: FFmpeg's conversion makes all a little darker.
            planes = np.asarray(cv2.cvtColor(self._fitted(image), cv2.COLOR_BGR2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = self._tick, Fraction(1, _TICKS)
            self._mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Finish the video; may be called again.

        Raises:
            TritonPoseError: It can't be saved; nothing is left of it.
        """
        import av

        if self._container is None:
            return
        try:
            self._mux(self._stream.encode(None))
            self._container.close()
            self._container = None
            self._files.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error) from error
        except BaseException as error:
            self._discard(error)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, image: NDArray[np.uint8], seconds: float) -> None:
        import av

        height, width = image.shape[:2]
        scale = min(1, _MAX_SIDE / max(height, width))
        width, height = (max(_MIN_SIDE, round(side * scale)) for side in (width, height))
        self._size = (width + width % 2, height + height % 2)
        self._start = seconds
        file = self._files.enter_context(whole_file(self._path))
        # A file of ours: FFmpeg's name of it would be that of the whole one.
        self._container = av.open(file, "w", format=self._format)
        codec = _first_known(self._codecs)
        self._stream = self._container.add_stream(codec, rate=_RATE, options=_CODECS[codec])
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        # As which the frames are converted; players take videos in HD for those of BT.709.
        self._stream.codec_context.colorspace = av.video.reformatter.Colorspace.SMPTE170M

    def _fitted(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring a frame to the video's size."""
        width, height = self._size
        rows, columns = image.shape[:2]
        below, beside = height - rows, width - columns
        if below in (0, 1) and beside in (0, 1):
            border = cv2.BORDER_REPLICATE
        else:
            scale = min(width / columns, height / rows)
            columns, rows = (max(1, round(side * scale)) for side in (columns, rows))
            image = np.asarray(
                cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8
            )
            below, beside = height - rows, width - columns
            border = cv2.BORDER_CONSTANT
        if not (below or beside):
            return np.ascontiguousarray(image)
        return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, beside, border), np.uint8)

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _failure(self, error: Exception) -> TritonPoseError:
        self._discard(error)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return TritonPoseError(f"can't save to {str(self._path)!r}: {reason}")

    def _discard(self, error: BaseException) -> None:
        """Leave nothing of the video."""
        container, self._container = self._container, None
        # Whatever closing brings up now is the consequence of the error.
        with suppress(Exception):
            if container is not None:
                container.close()
        with suppress(Exception):
            self._files.__exit__(type(error), error, error.__traceback__)


def _first_known(codecs: Sequence[str]) -> str:
    """Choose the encoder that the installed FFmpeg has."""
    import av

    for name in codecs:
        try:
            av.codec.Codec(name, "w")
        except ValueError:
            continue
        return name
    raise ValueError(f"the installed FFmpeg has none of the encoders {', '.join(codecs)}")
