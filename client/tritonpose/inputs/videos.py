"""Decode videos with PyAV: frames in order, turned upright, with their times.

The decoder sees the bytes of one open file and nothing else: it may read no format that names other
files, such as a playlist, and use no protocol.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

import numpy as np

from tritonpose.errors import InputError
from tritonpose.file_types import other_content
from tritonpose.inputs.truncation import missing_bytes
from tritonpose_pipeline.cores import available_cores
from tritonpose_pipeline.file_formats import SENT_FORMATS, identify_format, read_header
from tritonpose_pipeline.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

# FFmpeg's names of the containers and of the bare streams that are read.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,live_flv,mpeg,mpegvideo,mpegts,mxf,ogg,ivf,"
    "nut,rm,wtv,dv,gxf,yuv4mpegpipe,h264,hevc,m4v,obu,vc1,mjpeg,mpjpeg,gif,apng"
)
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Cameras fill up their frames.
_PADDING = 64
# In seconds: cameras show a whole picture more often.
_HOPELESS_S = 15.0
# More would hold a frame each, on machines with many cores.
_MOST_THREADS = 4
_USUAL_RATE = 25.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video, a camera or another source.

    Attributes:
        image: (H, W, 3) uint8, BGR, contiguous; turned as the video says. Of a camera that sends
            image files, such a file: the server decodes it.
        index: Its number in the source, from 0; dropped ones count.
        time: Seconds since the first frame; by the usual rate where the video tells no times. Of a
            camera: since the source was opened, also through interruptions.
        arrived: When a camera's frame came, by `time.monotonic`; None in recordings.
    """

    image: NDArray[np.uint8] | bytes
    index: int
    time: float
    arrived: float | None = None


def decode_video(file: BinaryIO, name: str) -> Generator[Frame | InputError, None, None]:
    """Decode an open file one frame at a time, and leave it open.

    Yields an InputError in the place of each frame that is damaged, and one at the end of a file
    that breaks off, holds no video or can't be read; they call the file ``name``.
    """
    import av

    count = 0
    damage: InputError | None = None
    reason = cut = ""
    unclosed = False
    try:
        missing = missing_bytes(file)
        if missing:
            cut = f"it is truncated: its last {missing} bytes are missing"
        with open_alone(file, _known_format(file)) as container:
            stream = choose_stream(container)
            if stream is None:
                problem = "holds no video, only sound or a cover picture"
                problem = f"can't be decoded as a video: {cut}" if cut else problem
                yield InputError(f"{name!r} {problem}", name)
                return
            # FFmpeg takes for damage whatever follows the last frame of a camera's answer.
            unclosed = container.format.name == "mpjpeg"
            for item in Decoding(container, stream, name).frames():
                if damage is not None:
                    yield damage
                damage = item if isinstance(item, InputError) else None
                if damage is None:
                    yield item
                    count += 1
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = "" if unclosed and count else reason_of(error)
    if not count:
        reason = cut or (reason and other_content(file)) or reason
        problem = (
            f"can't be decoded as a video: {reason}" if reason else "is a video without frames"
        )
        yield InputError(f"{name!r} {problem}", name)
    elif cut or reason:
        # The last frame, which is not whole, needs no error of its own.
        yield InputError(f"{name!r} breaks off after {count} frames: {cut or reason}", name)
    elif damage is not None:
        yield damage


def open_alone(
    file: BinaryIO, format_name: str | None = None, options: Mapping[str, str] | None = None
) -> InputContainer:
    """Open a container that can open no other file and no address."""
    import av

    # Titles may be in any encoding.
    return av.open(
        file,
        "r",
        format=format_name,
        options={
            "format_whitelist": _FORMATS,
            "protocol_whitelist": "",
            "max_pixels": str(Limits.max_pixels),
            **(options or {}),
        },
        metadata_errors="replace",
        io_open=_open_nothing,
    )


def _known_format(file: BinaryIO) -> str | None:
    """Name the format where FFmpeg would not find it: bare motion JPEG of few or large frames."""
    if hasattr(file, "seekable") and not file.seekable():
        return None
    start = file.tell()
    head = file.read(len(_JPEG))
    file.seek(start)
    return "mjpeg" if head == _JPEG else None


def _open_nothing(*_: object) -> NoReturn:
    raise PermissionError("it names another file, and these are not read")


def choose_stream(container: InputContainer) -> VideoStream | None:
    """Choose the video that FFmpeg thinks best, but no picture that belongs to sound."""
    from av.stream import Disposition

    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    videos = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & pictures
    ]
    best = container.streams.best("video")
    return best if best in videos else next(iter(videos), None)


class Decoding:
    """Decode one stream of a container.

    Args:
        container: Open.
        stream: To decode.
        name: For errors.
        first: The number of the first frame.
        live: Hand out each frame at once: no decoder's thread works on the next ones meanwhile.
        clock: Tells the time of a frame from the seconds that its stream gives it, or None.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        name: str,
        *,
        first: int = 0,
        live: bool = False,
        clock: Callable[[float | None], float] | None = None,
    ) -> None:
        self._container, self._stream, self._name = container, stream, name
        from av.video.reformatter import VideoReformatter

        context = stream.codec_context
        context.thread_type = "SLICE" if live else "AUTO"
        context.thread_count = 1 if live else min(available_cores(), _MOST_THREADS)
        context.options = {"max_pixels": str(Limits.max_pixels)}
        self._live = live
        # Of a camera frames may be dropped, and decoding those would be for nothing.
        self._sends_files = live and context.name == "mjpeg"
        # One for all frames: making it, with threads, takes longer than a small frame does.
        self._converter = VideoReformatter()
        self._clock = clock or self._elapsed
        self._step = 1 / float(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
        self._first = self._count = first
        self._start: float | None = None
        self._time = -self._step
        self._turns: dict[int, tuple[int, bool]] = {}

    def frames(self) -> Iterator[Frame | InputError]:
        """Yield the frames, and errors in the places of damaged ones.

        Raises FFmpegError, or an error of the file itself, where reading can't go on.
        """
        import av

        early: av.FFmpegError | None = None
        began = monotonic()
        try:
            for packet in self._container.demux(self._stream):
                if self._sends_files and _is_image(file := bytes(packet)):
                    yield self._frame_of_file(file, packet)
                    continue
                try:
                    decoded = packet.decode()
                except av.FFmpegError as error:
                    # Recordings of cameras begin anywhere, with frames that need earlier ones.
                    if self._count == self._first:
                        early = error
                        if self._live and monotonic() - began > _HOPELESS_S:
                            break
                        continue
                    yield self._damage("can't be decoded")
                    continue
                for frame in decoded:
                    yield self._frame(frame)
        except (av.FFmpegError, OSError, ValueError):
            # What the decoder still holds comes before the error.
            yield from map(self._frame, self._rest())
            raise
        if early is not None and self._count == self._first:
            raise early

    def _rest(self) -> list[VideoFrame]:
        import av

        try:
            return self._stream.decode(None)
        except av.FFmpegError:
            return []

    def _frame(self, frame: VideoFrame) -> Frame | InputError:
        self._time = max(self._clock(frame.time), self._time + 1e-6)
        if frame.is_corrupt:
            item: Frame | InputError = self._damage("is damaged")
        else:
            item = Frame(self._upright(frame), self._count, round(self._time, 6))
        self._count += 1
        return item

    def _frame_of_file(self, file: bytes, packet: Packet[VideoStream]) -> Frame:
        seconds = None if packet.pts is None else float(packet.pts * packet.time_base)
        self._time = max(self._clock(seconds), self._time + 1e-6)
        self._count += 1
        return Frame(file, self._count - 1, round(self._time, 6))

    def _elapsed(self, seconds: float | None) -> float:
        """Return the seconds since the first frame."""
        if seconds is None:
            return self._time + self._step
        if self._start is None:
            self._start = seconds
        return seconds - self._start

    def _upright(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert a frame to BGR, turned and mirrored as its display matrix says.

        All colors are taken for BT.601's, as OpenCV does: PaddleX's users read videos with it.
        """
        from av.video.reformatter import Colorspace, Interpolation

        converted = self._converter.reformat(
            frame,
            format="bgr24",
            src_colorspace=Colorspace.ITU601,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        image = cast("NDArray[np.uint8]", converted.to_ndarray())
        # Not asked of each frame: the answer refers to the frame and it to the answer, so that
        # its memory waits for Python's collector of cycles.
        if frame.rotation not in self._turns:
            self._turns[frame.rotation] = _turn(frame)
        quarters, mirrored = self._turns[frame.rotation]
        if mirrored:
            image = image[::-1]
        if quarters:
            image = np.rot90(image, -quarters)
        return np.ascontiguousarray(image)

    def _damage(self, problem: str) -> InputError:
        place = f"frame {self._count} of {self._name!r}"
        return InputError(f"{place} {problem}", self._name)


def _is_image(data: bytes) -> bool:
    """Check whether a camera's frame is one whole image file: some send halves, or two fields."""
    kind = identify_format(data[:16])
    header = read_header(data, kind) if kind in SENT_FORMATS else None
    return (
        header is not None
        and not header.several
        and header.pixels <= Limits.max_pixels
        and (kind != "JPEG" or _JPEG_END in data[-_PADDING:])
    )


def _turn(frame: VideoFrame) -> tuple[int, bool]:
    """Return by how many quarters to turn a frame clockwise, after it is flipped or not."""
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV doesn't know all of a frame's data from FFmpeg, such as EXIF's. Nothing says
        # whether the frame is mirrored, then.
        return round(-frame.rotation / 90), False
    if matrix is None:
        return 0, False
    # Rows: where the x axis and the y axis of the stored picture point to, times 2**16.
    (ax, ay, _), (bx, by, _), _ = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3).tolist()
    return round(math.atan2(ay, ax) / (math.pi / 2)), ax * by - ay * bx < 0


def reason_of(error: Exception) -> str:
    """Say what happened, in FFmpeg's or the system's words where these are plain."""
    import av

    if isinstance(error, av.InvalidDataError):
        return "it is damaged, or of a kind that FFmpeg can't decode"
    if isinstance(error, av.ArgumentError):
        return f"it is of a kind that isn't read, or has more than {Limits.max_pixels} pixels"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
