"""Videos that are written: read back with PyAV."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tritonpose import ConfigError, TritonPoseError
from tritonpose.inputs.videos import Frame, decode_video
from tritonpose.video_writer import VIDEO_SUFFIXES, VideoWriter

CODECS = {"libx264": "h264", "mpeg4": "mpeg4"}
TIMES = [0, 0.1, 0.11, 0.5, 2]


def read(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        items = list(decode_video(file, path.name))
    assert all(isinstance(item, Frame) for item in items), items
    return items  # type: ignore[return-value]


def gray(value: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", [*VIDEO_SUFFIXES, ".MP4"])
def test_frames_keep_their_times_and_colors(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"clip{suffix}"
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (100, 150, 200), (0, 0, 0)]
    with VideoWriter(path, [codec]) as video:
        for color, seconds in zip(colors, TIMES, strict=True):
            # Times since 1970, as of a camera.
            video.write(np.full((48, 64, 3), color, np.uint8), 1.7e9 + seconds)
    frames = read(path)
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-3)
    for frame, color in zip(frames, colors, strict=True):
        assert np.abs(frame.image.astype(int) - color).max() <= 4
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == CODECS[codec]
        assert container.duration is not None
        assert 2 <= container.duration / 1e6 < 2.2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("size", "written"),
    [
        ((75, 101), (76, 102)),
        ((75, 100), (76, 100)),
        ((1, 1), (16, 16)),
        ((17, 3), (18, 16)),
        ((30, 9000), (16, 4096)),
        ((5000, 40), (4096, 34)),
    ],
)
def test_sizes(tmp_path: Path, size: tuple[int, int], written: tuple[int, int], codec: str) -> None:
    with VideoWriter(tmp_path / "clip.mp4", [codec]) as video:
        for seconds in range(2):
            video.write(gray(200, size), seconds)
    assert [frame.image.shape[:2] for frame in read(tmp_path / "clip.mp4")] == [written] * 2


def test_odd_sizes_have_no_dark_border(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as video:
        video.write(gray(200, (75, 101)), 0)
    assert read(tmp_path / "clip.mp4")[0].image.min() > 190


def test_a_source_whose_size_changes(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as video:
        for number, size in enumerate([(80, 100), (160, 100), (80, 200), (40, 50)]):
            video.write(gray(200, size), number)
    frames = read(tmp_path / "clip.mp4")
    assert {frame.image.shape for frame in frames} == {(80, 100, 3)}
    assert [round(frame.image.mean(), -1) for frame in frames] == [200, 100, 100, 200]
    assert frames[1].image[:, 80:].mean() < 20


def test_times_that_do_not_rise(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as video:
        for number, seconds in enumerate([5, 5, 4, 6]):
            video.write(gray(10 + 60 * number), seconds)
    frames = read(tmp_path / "clip.mp4")
    assert [round(frame.image.mean() / 60) for frame in frames] == [0, 1, 2, 3]
    assert frames[2].time < 0.001
    assert frames[3].time == pytest.approx(1)


def write_and_raise(path: Path, error: type[BaseException]) -> None:
    with VideoWriter(path) as video:
        for seconds in range(3):
            video.write(gray(100), seconds)
        assert not path.exists()
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_ends_early_plays(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "missing" / "clip.mp4"
    with pytest.raises(error):
        write_and_raise(path, error)
    assert len(read(path)) == 3
    assert list(path.parent.iterdir()) == [path]


def test_no_frames_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_close_and_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("of another run")
    video = VideoWriter(path)
    video.write(gray(100), 0)
    assert path.read_text() == "of another run"
    video.close()
    video.close()
    assert len(read(path)) == 1


FULL = """
import resource, signal, sys
import numpy as np
from tritonpose import TritonPoseError
from tritonpose.video_writer import VideoWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0).integers(0, 256, (20, 240, 320, 3), dtype=np.uint8)
try:
    with VideoWriter(sys.argv[1]) as video:
        for number, image in enumerate(noise):
            video.write(image, number)
except TritonPoseError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"can't save to {str(path)!r}: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TritonPoseError, match=r"can't save to '.*clip\.mp4': "):
        VideoWriter(tmp_path / "file" / "clip.mp4").write(gray(1), 0)


@pytest.mark.parametrize("name", ["clip.avi", "clip", "clip.webm"])
def test_other_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"one of \.mp4, \.m4v, \.mov, \.mkv is written"):
        VideoWriter(tmp_path / name)
