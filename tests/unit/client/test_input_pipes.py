"""Pipes, standard input and devices: read once, without a hang, or told."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from tritonpose import InputError
from tritonpose.inputs import ImageInput, expand_inputs, load_source, path_of, streams
from tritonpose.inputs.sources import open_source
from tritonpose.inputs.videos import Frame
from videos import gray_frames, number_of, write_video

JPEG = cv2.imencode(".jpg", np.zeros((480, 640, 3), np.uint8))[1].tobytes()


def images_of(inputs: object) -> list[ImageInput]:
    return [image for item in expand_inputs(inputs) for image in load_source(item)]


def error_of(inputs: object) -> str:
    (item,) = expand_inputs(inputs)
    with pytest.raises(InputError) as caught:
        load_source(item)
    assert caught.value.input == path_of(item) == str(inputs)
    return str(caught.value)


@contextmanager
def pipe_with(content: bytes) -> Iterator[str]:
    """An anonymous pipe, as shells make them for ``<(...)``, and its path."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
        thread.join()


def test_an_image_from_a_pipe_keeps_all_its_bytes() -> None:
    with pipe_with(JPEG) as path:
        (image,) = images_of(path)
    assert (image.input_path, image.source) == (path, JPEG)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".ts", ".y4m", ".mjpeg"])
def test_a_video_from_a_pipe(tmp_path: Path, suffix: str) -> None:
    content = write_video(tmp_path / f"clip{suffix}", gray_frames(12)).read_bytes()
    with pipe_with(content) as path:
        images = images_of(path)
    assert [number_of(np.asarray(image.source)) for image in images] == list(range(12))
    assert {image.input_path for image in images} == {path}


@pytest.mark.parametrize("given", ["path", "file"])
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".ts", ".y4m", ".mjpeg"])
def test_a_video_to_track_from_a_pipe(tmp_path: Path, suffix: str, given: str) -> None:
    content = write_video(tmp_path / f"clip{suffix}", gray_frames(12)).read_bytes()
    with pipe_with(content) as path, ExitStack() as stack:
        source: object = path if given == "path" else stack.enter_context(Path(path).open("rb"))
        items = list(open_source(source).frames())
    assert [number_of(item.image) for item in items if isinstance(item, Frame)] == list(range(12))
    assert len(items) == 12


def test_what_can_not_be_tracked_from_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "WRITER_S", 0.2)
    os.mkfifo(tmp_path / "pipe")
    (silent,) = open_source(tmp_path / "pipe").frames()
    assert "into which nobody writes" in str(silent)
    (terminal,) = open_source("/dev/tty").frames()
    assert "is a terminal or another device" in str(terminal)
    with pipe_with(b"no video") as path:
        (text,) = open_source(path).frames()
    assert f"{path!r} can't be decoded as a video" in str(text)


def test_nothing_and_text_from_a_pipe() -> None:
    with pipe_with(b"") as path:
        assert error_of(path) == f"{path!r} is empty (0 bytes)"
    with pipe_with(b"no image") as path:
        assert f"{path!r} looks like text, beginning with 'no image'" in error_of(path)


def test_more_than_an_image_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_BYTES", 2000)
    with pipe_with(b"\0\1\2\3" * 501) as path:
        assert "MiB that an image may have" in error_of(path)


def test_a_named_pipe_waits_for_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb") as file:
            file.write(JPEG[:100])
            file.flush()
            time.sleep(0.3)
            file.write(JPEG[100:])

    thread = threading.Thread(target=write)
    timer = threading.Timer(0.2, thread.start)
    timer.start()
    (image,) = images_of(path)
    timer.join()
    thread.join()
    assert image.source == JPEG


def test_a_named_pipe_without_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(streams, "WRITER_S", 0.2)
    assert "into which nobody writes" in error_of(path)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/tty"])
def test_devices_are_refused(device: str) -> None:
    assert "is a terminal or another device, not a file" in error_of(device)


def test_a_socket_in_the_file_system_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert error_of(path).startswith(f"can't read {str(path)!r}: ")


READ_STANDARD_INPUT = """
from tritonpose.inputs import expand_inputs, load_source
print(*(len(load_source(item)[0].source) for item in expand_inputs("/dev/stdin")))
"""


@pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
def test_standard_input(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", READ_STANDARD_INPUT]
    if kind == "pipe":
        done = subprocess.run(command, input=JPEG, capture_output=True)
    elif kind == "file":
        (tmp_path / "photo.jpg").write_bytes(JPEG)
        with (tmp_path / "photo.jpg").open("rb") as file:
            done = subprocess.run(command, stdin=file, capture_output=True)
    else:
        ours, its = socket.socketpair()
        with ours, its:
            ours.sendall(JPEG)
            ours.shutdown(socket.SHUT_WR)
            done = subprocess.run(command, stdin=its, capture_output=True)
    assert (done.stdout.strip().decode(), done.stderr) == (str(len(JPEG)), b"")
