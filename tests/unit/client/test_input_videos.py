"""Videos: their frames, one at a time, and the errors of videos that can't be read."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tritonpose import InputError
from tritonpose.inputs import FileInput, ImageInput, expand_inputs, load_source, path_of
from tritonpose.inputs.frames import read_frames
from videos import gray_frames, number_of, write_video

FRAMES = 12


def frames_of(inputs: object) -> list[ImageInput]:
    return [image for item in expand_inputs(inputs) for image in load_source(item)]


def is_open(path: Path) -> bool:
    """Whether this process has the file open."""
    links = (os.path.realpath(link) for link in Path("/proc/self/fd").iterdir())
    return str(path.resolve()) in links


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (".mp4", "clip.mp4"),
        (".avi", "clip.avi"),
        (".mkv", "clip.mkv"),
        (".mov", "clip.MOV"),
        # Without a suffix, the content decides.
        (".mp4", "upload"),
    ],
)
def test_frames_in_order(tmp_path: Path, written: str, name: str) -> None:
    path = write_video(tmp_path / f"video{written}", gray_frames(FRAMES)).rename(tmp_path / name)
    frames = frames_of(path)
    assert [frame.frame_index for frame in frames] == list(range(FRAMES))
    assert {frame.input_path for frame in frames} == {str(path)}
    assert [frame.page_index for frame in frames] == [None] * FRAMES
    images = [frame.source for frame in frames]
    assert all(isinstance(image, np.ndarray) and image.shape == (48, 64, 3) for image in images)
    np.asarray(images[0])[:] = 0  # shares no memory with the others
    assert [number_of(np.asarray(image)) for image in images] == list(range(FRAMES))


def test_an_image_with_the_suffix_of_a_video_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "photo.mp4"
    path.write_bytes(cv2.imencode(".jpg", gray_frames(1)[0])[1].tobytes())
    (image,) = frames_of(path)
    assert image.source == path.read_bytes()
    assert image.frame_index is None


def test_the_file_is_open_only_while_frames_are_taken(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", gray_frames(FRAMES))
    items = expand_inputs([path, path])
    assert not is_open(path)
    next(items)
    assert is_open(path)
    items.close()
    assert not is_open(path)
    assert len(frames_of(path)) == FRAMES
    assert not is_open(path)


def test_frames_are_read_as_they_are_taken(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 96, 128, 3), dtype=np.uint8)
    path = write_video(tmp_path / "clip.avi", noise)
    with path.open("rb", buffering=0) as file:
        items = expand_inputs([file])
        next(items)
        # FFmpeg looks for the index at the end, then reads on from the first frames.
        assert file.tell() < path.stat().st_size / 2
        assert len(list(items)) == 99


def test_videos_and_images_of_a_directory_are_sorted_together(tmp_path: Path) -> None:
    image = cv2.imencode(".jpg", gray_frames(1)[0])[1].tobytes()
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "c.jpg", "sub/e.jpg"):
        (tmp_path / name).write_bytes(image)
    for name in ("b.mp4", "sub/d.avi"):
        write_video(tmp_path / name, gray_frames(2))
    names = ["a.jpg", "b.mp4", "b.mp4", "c.jpg", "sub/d.avi", "sub/d.avi", "sub/e.jpg"]
    images = frames_of(tmp_path)
    assert [image.input_path for image in images] == [str(tmp_path / name) for name in names]
    assert [image.frame_index for image in images] == [None, 0, 1, None, 0, 1, None]


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4"])
def test_the_frames_of_a_truncated_video_come_before_an_error(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Noise, or the container would be larger than the frames.
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 48, 64, 3), dtype=np.uint8)
    options = {"movflags": "faststart"} if suffix == ".mp4" else None
    path = write_video(tmp_path / f"clip{suffix}", noise, options=options)
    missing = path.stat().st_size // 3
    os.truncate(path, path.stat().st_size - missing)
    with caplog.at_level("INFO", "tritonpose"):
        *frames, end = expand_inputs(path)
    count = len(frames)
    assert 0 < count < FRAMES
    assert [load_source(frame)[0].frame_index for frame in frames] == list(range(count))
    words = f"breaks off after {count} frames: it is truncated: its last {missing} bytes"
    with pytest.raises(InputError, match=words) as caught:
        load_source(end)
    assert caught.value.input == path_of(end) == str(path)
    assert caplog.messages == [f"{path}: {count} frames read"]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "header.mp4", "huge.mp4", "text.avi"])
def test_a_video_that_cannot_be_decoded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    reason = "damaged, or of a kind"
    if name == "header.mp4":
        path.write_bytes(b"\0\0\0\x10ftypisom" + bytes(4))
    elif name == "huge.mp4":  # as it says of its first box
        path.write_bytes(b"\0\0\0\1ftyp" + b"\xff" * 8)
    elif name == "text.avi":
        path.write_text("no video")
        reason = "it looks like text, beginning with 'no video'"
    else:  # it breaks off before its first frame
        os.truncate(write_video(path, gray_frames(FRAMES)), 200)
        reason = "truncated: its last"
    (source,) = expand_inputs(path)
    with pytest.raises(InputError, match=f"{name}' can't be decoded.* {reason}") as caught:
        load_source(source)
    assert caught.value.input == path_of(source) == str(path)


def test_a_video_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", gray_frames(1))
    items = read_frames(FileInput(str(path)))
    path.unlink()
    (source,) = items
    with pytest.raises(InputError, match=r"can't read .*clip\.mp4': No such file"):
        load_source(source)


@pytest.mark.parametrize(
    ("name", "written"),
    [("clip", ".ts"), ("clip.TS", ".ts"), ("clip.m2ts", ".m2ts"), ("clip.bin", ".y4m")],
)
def test_other_containers_are_known_by_their_content(
    tmp_path: Path, name: str, written: str
) -> None:
    path = write_video(tmp_path / f"video{written}", gray_frames(FRAMES)).rename(tmp_path / name)
    numbers = [number_of(np.asarray(frame.source)) for frame in frames_of(path)]
    assert numbers == list(range(FRAMES))


def test_transport_streams_in_a_directory_are_told_from_typescript(tmp_path: Path) -> None:
    write_video(tmp_path / "video.ts", gray_frames(FRAMES))
    (tmp_path / "code.ts").write_text("export {};\n" * 100)
    assert [image.input_path for image in frames_of(tmp_path)] == [
        str(tmp_path / "video.ts")
    ] * FRAMES


def test_what_is_no_regular_file_in_a_directory_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe.mp4")
    write_video(tmp_path / "video.mp4", gray_frames(1))
    assert len(frames_of(tmp_path)) == 1
