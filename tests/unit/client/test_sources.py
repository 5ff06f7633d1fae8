"""Sources of frames: files and frames of the caller's; what is none; names without secrets."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonpose import ConfigError, InputError
from tritonpose.inputs.addresses import masked, unread_address
from tritonpose.inputs.sources import open_source, open_sources
from tritonpose.inputs.videos import Frame
from videos import gray_frames, number_of, write_video

IMAGE = np.zeros((4, 6, 3), np.uint8)


def times_of(source: object) -> list[float]:
    (opened,) = open_sources(source)
    items = list(opened.frames())
    assert all(isinstance(item, Frame) for item in items)
    return [item.time for item in items if isinstance(item, Frame)]


def errors_of(source: object) -> list[str]:
    (opened,) = open_sources(source)
    return [str(item) for item in opened.frames() if isinstance(item, InputError)]


def test_a_video_file_gives_all_its_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", gray_frames(12))
    source = open_source(path)
    frames = [item for item in source.frames() if isinstance(item, Frame)]
    assert [number_of(frame.image) for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(12)])
    assert (source.name, source.live, source.dropped) == (str(path), False, 0)
    with path.open("rb") as file:
        assert times_of(file) == [frame.time for frame in frames]
    assert times_of(path.as_uri()) == [frame.time for frame in frames]


def test_a_closed_file_gives_no_more(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "a.mp4", gray_frames(12)))
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize(
    "source",
    [
        [IMAGE] * 3,
        (frame for frame in [IMAGE] * 3),
        np.zeros((3, 4, 6, 3), np.uint8),
        [Image.new("RGB", (6, 4))] * 3,
    ],
)
def test_frames_without_times_count_as_25_in_a_second(source: object) -> None:
    assert times_of(source) == pytest.approx([0, 0.04, 0.08])


def test_frames_with_times() -> None:
    assert times_of([(IMAGE, 3.5), (IMAGE, 4), (IMAGE, np.float32(4.5))]) == [3.5, 4, 4.5]
    assert times_of(iter([[IMAGE, 1], IMAGE])) == [1, 1.04]


def test_the_caller_may_reuse_a_buffer() -> None:
    buffer = np.zeros((4, 6, 3), np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for number in range(3):
            buffer[:] = number
            yield buffer

    (source,) = open_sources(frames())
    found = [item.image.max() for item in source.frames() if isinstance(item, Frame)]
    assert found == [0, 1, 2]


def test_wrong_frames_fail_in_their_places() -> None:
    given = iter([(IMAGE, 1.0), (IMAGE, 0.5), "a.jpg", IMAGE[..., 0], (IMAGE, float("nan"))])
    assert errors_of(given) == [
        "frame 1: its time, 0.5 s, is before that of the frame before",
        (
            "frame 2: a str is no frame: give arrays (height, width, 3), uint8, BGR, or pairs of "
            "such an array and its time in seconds"
        ),
        (
            "frame 3: got an array of shape (4, 6), dtype uint8: an image is (height, width, 3), "
            "uint8, BGR; convert gray with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)"
        ),
        "frame 4: its time, nan, is no number of seconds",
    ]


def test_asynchronous_frames_are_read_in_their_loop() -> None:
    async def frames() -> AsyncIterator[np.ndarray]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield IMAGE

    async def read() -> int:
        source = open_source(frames(), loop=asyncio.get_running_loop())
        return len(await asyncio.to_thread(lambda: list(source.frames())))

    assert asyncio.run(read()) == 3
    with pytest.raises(ConfigError, match=r"for AsyncPipeline\.track"):
        open_source(frames())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "no source was given"),
        ("", "'' is no source"),
        (None, "a NoneType is no source: give a video file, a camera"),
        (True, "a bool is no source"),
        (1.5, "a float is no source"),
        (b"abc", "a bytes is no source"),
        ({}, "a dict is no source"),
        (-1, "cameras are counted from 0"),
        (IMAGE, "a single image is no source: predict is for images"),
        ((IMAGE, 1.0), "a frame and its time are no source"),
        (".", "is a directory: name the videos in it"),
        ("rtmp://u:secret@host/x", "'rtmp://host/x': rtmp:// addresses aren't read"),
        ("rtsp:///x", "names no host"),
    ],
)
def test_what_is_no_source(source: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_sources(source)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.mp4").write_text("no video, only words")
    assert "a.png' is an image: predict is for images" in errors_of(tmp_path / "a.png")[0]
    assert errors_of(io.StringIO("words")) == [
        "'the open file' is open as text: open it in mode 'rb'"
    ]
    assert "can't be decoded as a video" in errors_of(tmp_path / "a.mp4")[0]
    assert "No such file" in errors_of(tmp_path / "none.mp4")[0]


def test_a_camera_that_is_not_there() -> None:
    for source in ("/dev/video9876", 9876, "9876"):
        (error,) = errors_of(source)
        assert "there is no such camera; this machine has" in error


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://host/a", "rtsp://host/a"),
        ("rtsp://u:p@host:554/a", "rtsp://host:554/a"),
        ("rtsp://u:p@ss@host/a", "rtsp://host/a"),
        ("rtsp://u:p/s@host/a", "rtsp://host/a"),
        ("rtsp://u@[::1]:554/a@b", "rtsp://[::1]:554/a@b"),
        ("http://host/@a/b", "http://host/@a/b"),
        ("http://host?token=abc", "http://host?token=***"),
        ("http://host/a?token=abc&channel=1&x", "http://host/a?token=***&channel=1&x"),
        ("rtsp://h/user=a&password=b&channel=1.sdp", "rtsp://h/user=***&password=***&channel=***"),
        ("rtsp://h/user=admin_password=abc_channel=1", "rtsp://h/user=***"),
        ("http://h/a#key=abc", "http://h/a#key=***"),
        ("/a/b=c.mp4", "/a/b=c.mp4"),
        ("rtsp:///u:p@host/a", "rtsp:///host/a"),
        ("rtsp:/u:p@host/a", "rtsp:/host/a"),
        ("rtsp:u:p@host/a", "rtsp:host/a"),
        ("RTSP//u:p@host/a", "RTSP//host/a"),
        ("rtsp:\\\\u:p@host\\a", "rtsp:\\\\host\\a"),
        ("'rtsp://u:p@host/a'", "'rtsp://host/a'"),
        ("ffmpeg:rtsp://u:p@host/a", "ffmpeg:rtsp://host/a"),
        ("u:p@host/a", "host/a"),
        ("http:/host/a?token=abc", "http:/host/a?token=***"),
        ("C:\\videos\\a@b.mp4", "C:\\videos\\a@b.mp4"),
        ("a@b.mp4", "a@b.mp4"),
    ],
)
def test_names_have_no_secrets(address: str, name: str) -> None:
    assert masked(address) == name
    assert "u:p" not in (unread_address(address) or "")
    if re.match(r"(rtsp|http)://[^/]|/|C:|a@", address):
        assert open_source(address).name == name
    else:
        with pytest.raises(ConfigError, match=r"begin with rtsp:|names no host") as error:
            open_source(address)
        assert "u:p" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty (0 bytes)"),
        (b"%PDF-1.4\n\xff", "it looks like a PDF file"),
        (b"photo.jpg\n", "it looks like text, beginning with 'photo.jpg\\n'"),
    ],
)
def test_what_is_no_video_is_described(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    (error,) = open_source(tmp_path / "clip.mp4").frames()
    assert str(error).endswith(f"clip.mp4' can't be decoded as a video: {words}")
