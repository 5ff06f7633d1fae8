"""Read what can be read only once: open files, pipes, standard input."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tritonpose.errors import InputError
from tritonpose.file_types import HEAD_BYTES, is_video_format, may_need_its_end
from tritonpose.inputs.addresses import CAMERA_ADVICE
from tritonpose.inputs.files import MAX_BYTES, too_long
from tritonpose.inputs.frames import read_frames
from tritonpose.inputs.images import FileInput, ImageInput
from tritonpose_pipeline.file_formats import identify_format, read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITER_S = 10.0
"""How long a named pipe may have nobody who writes into it, in seconds."""

_POLL_S = 0.1
_OWN_DESCRIPTOR = re.compile(r"/dev/(stdin)|/dev/fd/(\d+)|/proc/self/fd/(\d+)")


def read_open_file(file: Any, path: str) -> Iterator[FileInput | ImageInput]:
    """Read an open file by its content: as a video, frame by frame, else as an image.

    One that can be sought in is read from its beginning, as by Pillow. It stays open. ``path`` is
    the ``input_path`` of the results, or "".
    """
    name = path or "the open file"
    with ExitStack() as stack:
        try:
            # Temporary files of Python 3.10 don't say.
            seekable = file.seekable() if hasattr(file, "seekable") else hasattr(file, "tell")
            if seekable:
                file.seek(0)
            head = _read(file, HEAD_BYTES)
            if not is_video_format(head):
                data = head + _read(file, MAX_BYTES + 1 - len(head))
                if len(data) > MAX_BYTES:
                    raise InputError(f"it {too_long()}")
                if not _is_motion_jpeg(data):
                    yield FileInput(path, read=lambda: data)
                    return
                video: Any = io.BytesIO(data)
            elif seekable:
                file.seek(0)
                video = file
            else:
                video = _video_of_pipe(head, file, stack)
        except Exception as error:
            # Of any class: files of stores and of HTTP have their own.
            yield FileInput(path, problem=f"can't read {name!r}: {error}")
            return
        yield from read_frames(FileInput(path), cast("BinaryIO", video))


def open_pipe(path: str, mode: int, stack: ExitStack) -> BinaryIO:
    """Open the video that comes out of a pipe or a socket, to be closed with the stack.

    Raises OSError, or InputError for a device and for a pipe into which nobody writes.
    """
    early, file = _open_special(path, mode)
    return video_of_pipe(_Rejoined(early, stack.enter_context(file)), stack)


def video_of_pipe(file: Any, stack: ExitStack) -> BinaryIO:
    """Make what can be read only once readable as a video; raise what reading raises."""
    return _video_of_pipe(_read(file, HEAD_BYTES), file, stack)


def _video_of_pipe(head: bytes, rest: Any, stack: ExitStack) -> BinaryIO:
    video = _Rejoined(head, rest)
    return copied(video, stack) if may_need_its_end(head) else cast("BinaryIO", video)


def copied(file: Any, stack: ExitStack) -> BinaryIO:
    """Copy what can be read only once, or slowly, to a file without a name, closed by the stack."""
    copy = stack.enter_context(tempfile.TemporaryFile(prefix="tritonpose-"))  # noqa: SIM115
    shutil.copyfileobj(file, copy, 2**20)
    copy.seek(0)
    return copy


def read_special(path: str, mode: int) -> Iterator[FileInput | ImageInput]:
    """Read what a path names that is no regular file: a pipe or a socket; devices are refused."""
    try:
        early, file = _open_special(path, mode)
    except OSError as error:
        yield FileInput(path, problem=f"can't read {path!r}: {error.strerror}")
    except InputError as error:
        yield FileInput(path, problem=str(error))
    else:
        with file:
            yield from read_open_file(_Rejoined(early, file), path)


def _open_special(path: str, mode: int) -> tuple[bytes, BinaryIO]:
    """Open a pipe or a socket; raise InputError or OSError.

    Returns what was read of it already, and the rest.
    """
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        advice = "give a file, or pipe one in"
        if path.startswith("/dev/video"):
            advice = CAMERA_ADVICE
        raise InputError(f"{path!r} is a terminal or another device, not a file: {advice}")
    own = _OWN_DESCRIPTOR.fullmatch(path)
    if own is not None:
        # Not opened again, which needs a permission and fails for sockets.
        return b"", os.fdopen(os.dup(int(own[2] or own[3] or 0)), "rb")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        early = _first_bytes(descriptor, path)
        os.set_blocking(descriptor, True)
        return early, os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _first_bytes(descriptor: int, path: str) -> bytes:
    """Wait until somebody writes into a pipe; InputError: nobody opens it."""
    deadline = time.monotonic() + WRITER_S
    while time.monotonic() < deadline:
        try:
            early = os.read(descriptor, HEAD_BYTES)
        except BlockingIOError:
            return b""  # the writer is there
        if early:
            return early
        time.sleep(_POLL_S)
    raise InputError(f"{path!r} is a named pipe, into which nobody writes: start the writer first")


def _is_motion_jpeg(data: bytes) -> bool:
    """Check whether these are JPEG images one after the other; a path's suffix says so."""
    if identify_format(data[:16]) != "JPEG":
        return False
    header = read_header(data, "JPEG")
    return header is not None and header.several


def _read(file: Any, size: int) -> bytes:
    """Read ``size`` bytes, or to the end."""
    if isinstance(file, io.TextIOBase):
        raise InputError("it is open as text: open it in mode 'rb'")
    parts: list[bytes] = []
    while size > 0:
        part = file.read(size)
        if not isinstance(part, bytes | bytearray | memoryview):
            if hasattr(part, "close"):
                part.close()  # a coroutine
            raise InputError(
                f"its read() gives {type(part).__name__}, not bytes: "
                "give its content, or a file open in mode 'rb'"
            )
        if not part:
            break
        parts.append(bytes(part))
        size -= len(part)
    return b"".join(parts)


class _Rejoined(io.RawIOBase):
    """What was read of a file already, and the rest of it."""

    def __init__(self, start: bytes, rest: Any) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part = self._start[: max(size, 0)]
        if part:
            self._start = self._start[len(part) :]
            return part
        return _read(self._rest, size)
