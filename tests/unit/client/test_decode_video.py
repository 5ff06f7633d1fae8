"""Frames as they are meant to be seen, their times, and what is no video or not a whole one."""

import gc
import io
import itertools
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from tritonpose.errors import InputError
from tritonpose.file_types import is_video_format
from tritonpose.inputs import videos
from tritonpose.inputs.videos import Frame, decode_video
from videos import gray_frames, number_of, write_video

# Smooth, so that little is lost in compression, and without any symmetry.
PICTURE = cv2.resize(
    np.array([[[0, 0, 255], [0, 255, 0]], [[255, 0, 0], [40, 40, 40]]], np.uint8), (96, 64)
).astype(np.uint8)


def decoded(source: Path | bytes) -> list[Frame | InputError]:
    content = source if isinstance(source, bytes) else source.read_bytes()
    return list(decode_video(io.BytesIO(content), "clip"))


def frames_of(source: Path | bytes) -> list[Frame]:
    items = decoded(source)
    assert all(isinstance(item, Frame) for item in items), items
    return [item for item in items if isinstance(item, Frame)]


def errors_of(source: Path | bytes) -> list[str]:
    return [str(item) for item in decoded(source) if isinstance(item, InputError)]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turned", [0, 90, 180, -90])
def test_frames_are_turned_and_mirrored_as_the_video_says(
    tmp_path: Path, turned: int, mirrored: bool
) -> None:
    path = write_video(tmp_path / "clip.mp4", [PICTURE], turned=turned, mirrored=mirrored)
    expected = np.rot90(PICTURE, turned // 90)
    if mirrored:
        expected = expected[:, ::-1]
    (frame,) = frames_of(path)
    assert frame.image.shape == expected.shape
    assert frame.image.flags.c_contiguous
    assert frame.image.flags.writeable
    assert np.abs(frame.image.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("size", [(96, 64), (1920, 1280)])
@pytest.mark.parametrize("between", [b"", b"\r\n", b"\r\n--f\r\nContent-Type: image/jpeg\r\n\r\n"])
def test_motion_jpeg_of_few_or_large_frames(
    count: int, size: tuple[int, int], between: bytes
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    still = cv2.imencode(".jpg", noise)[1].tobytes()
    frames = frames_of((still + between) * count)
    assert [frame.image.shape for frame in frames] == [noise.shape] * count


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_frames_of_motion_jpeg_are_turned_as_their_exif_data_say(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(PICTURE[:, :, ::-1]).save(file, "JPEG", exif=exif, quality=95)
    expected = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    for frame in frames_of(2 * file.getvalue()):
        assert frame.image.shape == expected.shape
        assert np.abs(frame.image.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_are_those_of_the_frames(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.04, 0.5, 0.52, 3.0]
    path = write_video(tmp_path / f"clip{suffix}", gray_frames(5), times=[5 + t for t in times])
    assert [frame.time for frame in frames_of(path)] == pytest.approx(times, abs=0.002)


def test_a_bare_stream_has_the_times_of_its_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.h264", gray_frames(4), codec="libx264")
    frames = frames_of(path)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3]
    steps = [later.time - frame.time for frame, later in itertools.pairwise(frames)]
    assert steps == pytest.approx([steps[0]] * 3, abs=2e-6)
    assert steps[0] > 0


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [
        (".mp4", "mpeg4", "yuv420p"),
        (".avi", "mjpeg", "yuvj422p"),
        (".mkv", "ffv1", "yuv444p"),
        (".mov", "png", "rgb24"),
        (".webm", "libvpx-vp9", "yuv420p"),
    ],
)
def test_colors_are_those_of_opencv(tmp_path: Path, suffix: str, codec: str, pixels: str) -> None:
    pictures = [PICTURE, 255 - PICTURE]
    path = write_video(tmp_path / f"clip{suffix}", pictures, codec=codec, pixels=pixels)
    capture = cv2.VideoCapture(str(path))
    expected = [image for read, image in iter(capture.read, (False, None)) if read]
    capture.release()
    frames = frames_of(path)
    assert len(frames) == len(expected) == 2
    for frame, image in zip(frames, expected, strict=True):
        assert np.abs(frame.image.astype(int) - image).max() <= 1


def test_frames_may_change_their_size(tmp_path: Path) -> None:
    files = [
        write_video(tmp_path / f"{index}.mjpeg", [image]).read_bytes()
        for index, image in enumerate([PICTURE, PICTURE[:32, :48]])
    ]
    shapes = [frame.image.shape for frame in frames_of(b"".join(files))]
    assert shapes == [(64, 96, 3), (32, 48, 3)]


@pytest.mark.parametrize("end", [b"", b"--x--\r\n"])
def test_a_cameras_saved_answer(end: bytes) -> None:
    parts = [
        b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + cv2.imencode(".jpg", image)[1].tobytes()
        for image in gray_frames(4)
    ]
    content = b"\r\n".join([*parts, end])
    assert is_video_format(content)
    assert [number_of(frame.image) for frame in frames_of(content)] == [0, 1, 2, 3]


def test_a_damaged_frame_is_an_error_in_its_place(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    content = write_video(tmp_path / "clip.avi", noise).read_bytes()
    start = [at for at in range(len(content)) if content.startswith(b"\xff\xd8\xff", at)][3]
    damaged = content[:start] + bytes(1500) + content[start + 1500 :]
    items = decoded(damaged)
    assert [isinstance(item, InputError) for item in items] == [False] * 3 + [True] + [False] * 2
    assert str(items[3]) == "frame 3 of 'clip' can't be decoded"
    assert [item.time for item in items if isinstance(item, Frame)] == [0, 0.1, 0.2, 0.4, 0.5]


def test_a_recording_may_begin_between_key_frames(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "clip.ts",
        gray_frames(20),
        codec="libx264",
        codec_options={"g": "5", "bf": "0", "x264-params": "scenecut=0"},
    )
    content = path.read_bytes()
    frames = frames_of(content[len(content) // 3 // 188 * 188 :])
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers[0] in (5, 10)
    assert numbers == list(range(numbers[0], 20))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile {}\n"),
        ("list.mpd", '<?xml version="1.0"?><MPD type="static"><BaseURL>{}</BaseURL></MPD>'),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na={}\n"),
    ],
)
def test_no_other_file_is_opened(tmp_path: Path, name: str, text: str) -> None:
    other = write_video(tmp_path / "other.ts", gray_frames(20))
    path = tmp_path / name
    path.write_text(text.format(other))
    (error,) = errors_of(path)
    assert error.startswith("'clip' can't be decoded as a video: it ")


def test_sound_with_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.rate = 8000
        cover = container.add_stream("png", rate=Fraction(1))
        cover.width, cover.height, cover.pix_fmt = 96, 64, "rgb24"
        cover.disposition = Disposition.attached_pic
        container.mux(
            cover.encode(av.VideoFrame.from_ndarray(PICTURE, "bgr24").reformat(format="rgb24"))
        )
        for stream, frame in ((sound, silence), (sound, None), (cover, None)):
            container.mux(stream.encode(frame))
    assert errors_of(path) == ["'clip' holds no video, only sound or a cover picture"]


def test_frames_beyond_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "clip.mp4", [PICTURE])
    monkeypatch.setattr(videos.Limits, "max_pixels", 64 * 96 - 1)
    (error,) = errors_of(path)
    assert "6143 pixels" in error


def test_the_file_stays_open(tmp_path: Path) -> None:
    with write_video(tmp_path / "clip.mp4", [PICTURE] * 3).open("rb") as file:
        frames = decode_video(file, "clip")
        next(frames)
        frames.close()
        assert not file.closed


def test_frames_are_freed_as_they_are_taken(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", gray_frames(20))
    gc.collect()
    gc.disable()
    try:
        for _ in decode_video(io.BytesIO(path.read_bytes()), "clip"):
            pass
        assert sum(isinstance(held, av.VideoFrame) for held in gc.get_objects()) < 5
    finally:
        gc.enable()
