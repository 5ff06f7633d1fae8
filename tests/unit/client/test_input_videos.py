"""Videos: their frames, one at a time, and the errors of videos that can't be read."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tritonpose import InputError
from tritonpose.inputs import ImageInput, expand_inputs, load_source, path_of
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


def test_frames_are_read_as_they_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.avi", gray_frames(FRAMES))
    captures: list[cv2.VideoCapture] = []
    opened = cv2.VideoCapture

    def remembered(name: str) -> cv2.VideoCapture:
        captures.append(opened(name))
        return captures[-1]

    monkeypatch.setattr(cv2, "VideoCapture", remembered)
    items = expand_inputs([path])
    for count in range(1, 4):
        next(items)
        assert [capture.get(cv2.CAP_PROP_POS_FRAMES) for capture in captures] == [count]


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


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_truncated_video_is_the_frames_that_can_be_read(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Noise, or the container would be larger than the frames.
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / f"clip{suffix}", noise)
    os.truncate(path, path.stat().st_size * 2 // 3)
    with caplog.at_level("INFO", "tritonpose"):
        frames = [frame.frame_index for frame in frames_of(path)]
    assert 0 < len(frames) < FRAMES
    assert frames == list(range(len(frames)))
    assert caplog.messages == [f"{path}: {len(frames)} frames read"]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "header.mp4", "text.avi"])
def test_a_video_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "header.mp4":
        path.write_bytes(b"\0\0\0\x10ftypisom" + bytes(4))
    elif name == "text.avi":
        path.write_text("no video")
    else:  # it breaks off before its first frame
        os.truncate(write_video(path, gray_frames(FRAMES)), 200)
    (source,) = expand_inputs(path)
    with pytest.raises(InputError, match=f"{name}' can't be opened as a video") as caught:
        load_source(source)
    assert caught.value.input == path_of(source) == str(path)
