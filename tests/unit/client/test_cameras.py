"""Cameras and streams: real servers that hang, die, come back, and name what they may not."""

import io
import itertools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cameras import (
    BOUNDARY,
    jpeg_file,
    jpeg_part,
    motion_jpeg_camera,
    rtsp_camera,
    transport_stream,
)
from certificates import make_certificates
from endless_server import endless_server
from file_server import FileServer, Route, file_server
from tritonpose import InputError
from tritonpose.inputs import web_videos
from tritonpose.inputs.cameras import Camera
from tritonpose.inputs.sources import FrameSource, open_source, open_sources
from tritonpose.inputs.videos import Decoding, Frame, open_alone
from videos import gray_frames, number_of, write_video

PNG = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
PLAYLIST = {"Content-Type": "application/vnd.apple.mpegurl"}


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def first(source: FrameSource, count: int) -> list[Frame | InputError]:
    """The first items of a source, which is closed then."""
    frames = source.frames()
    try:
        return list(itertools.islice(frames, count))
    finally:
        frames.close()


def frames_of(source: FrameSource, count: int = 1000) -> list[Frame]:
    items = first(source, count)
    assert all(isinstance(item, Frame) for item in items), items
    return [item for item in items if isinstance(item, Frame)]


def error_of(address: object) -> str:
    """The first thing that a source says, which is an error."""
    (item,) = first(open_source(address), 1)
    assert isinstance(item, InputError)
    return str(item)


def playlist(*names: str, ends: bool = True) -> bytes:
    parts = "".join(f"#EXTINF:2.0,\n{name}\n" for name in names)
    end = "#EXT-X-ENDLIST\n" if ends else ""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n{parts}{end}".encode()


def test_motion_jpeg_is_live_and_in_order() -> None:
    with motion_jpeg_camera() as camera:
        source = open_source(camera.address)
        frames = frames_of(source, 10)
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == sorted(numbers)
    assert [frame.index for frame in frames] == numbers
    assert sorted(frame.time for frame in frames) == [frame.time for frame in frames]
    assert {type(frame.image) for frame in frames} == {bytes}
    assert source.live
    assert source.dropped + len(frames) == numbers[-1] + 1


def test_files_of_motion_jpeg_are_left_to_the_server() -> None:
    """Others are decoded here: halves of files, and pictures of two fields; or they are damaged."""
    whole = jpeg_file(7)
    larger = cv2.imencode(".jpg", np.zeros((480, 640, 3), np.uint8))[1].tobytes()
    files = [whole, whole + b"\0" * 8, PNG, larger]
    parts = [*files, whole[:-2], whole + whole, b"no image", *files]
    body = io.BytesIO(b"".join(jpeg_part(part) for part in parts) + BOUNDARY)
    with open_alone(body, "mpjpeg") as container:
        items = Decoding(container, container.streams.video[0], "camera", live=True).frames()
        read = itertools.islice(items, len(parts))
        images = [item.image if isinstance(item, Frame) else None for item in read]
    assert images[:4] == files
    assert [number_of(image) for image in images[4:6] if image is not None] == [7, 7]
    assert [type(image) for image in images[4:6]] == [np.ndarray, np.ndarray]
    assert images[6] is None
    assert images[7:] == files


def test_a_slow_reader_gets_the_newest_frame_and_the_others_are_counted() -> None:
    with motion_jpeg_camera() as camera:
        source = open_source(camera.address)
        reading = source.frames()
        before = next(reading)
        assert isinstance(before, Frame)
        deadline = time.monotonic() + 20
        while source.dropped < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        after = next(reading)
        dropped = source.dropped
        reading.close()
    assert isinstance(after, Frame)
    assert after.index >= before.index + 5
    assert after.index - before.index - 1 <= dropped


def test_stale_frames_are_dropped() -> None:
    with motion_jpeg_camera() as camera:
        camera.frames = 3
        source = open_source(camera.address)
        reading = source.frames()
        assert isinstance(next(reading), Frame)
        # The camera is gone; its last frame waits, and grows old.
        time.sleep(0.7)
        after = next(reading)
        reading.close()
    assert isinstance(after, Frame)
    assert after.arrived is not None
    assert source.reconnects >= 1


def test_a_camera_that_dies_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tritonpose")
    with motion_jpeg_camera() as camera:
        camera.frames = 3
        camera.credentials = "user:s3cret"
        address = camera.address.replace("//", "//user:s3cret@") + "/a?token=t0ken"
        source = open_source(address)
        frames = frames_of(source, 6)
    assert camera.connections >= 2
    assert source.reconnects >= 1
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    assert times[-1] - times[0] > 0.25  # the pause before it was asked again counts
    assert "connecting again in" in caplog.text
    assert "frames come again" in caplog.text
    for secret in ("s3cret", "t0ken"):
        assert secret not in caplog.text + source.name + repr(source)


def test_a_silent_camera_holds_neither_another_nor_close() -> None:
    with motion_jpeg_camera() as dead, motion_jpeg_camera() as good:
        dead.silent = True
        silent, talking = open_sources([dead.address, good.address])
        ended = threading.Event()

        def read() -> None:
            assert list(silent.frames()) == []
            ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        assert len(frames_of(talking, 3)) == 3
        assert not ended.is_set()
        silent.close()
        thread.join(5)
        assert ended.is_set()


def test_an_unreachable_camera_is_an_error_at_first_and_is_tried_again() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for scheme in ("http", "rtsp"):
            assert "Connection refused" in error_of(f"{scheme}://u:s3cret@127.0.0.1:{port}/")
    assert "unknown host" in error_of("rtsp://u:s3cret@host.invalid/")
    with motion_jpeg_camera() as camera:
        camera.frames = 0
        source = open_source(camera.address)
        reading = source.frames()
        assert isinstance(next(reading), InputError)
        camera.frames = None
        assert isinstance(next(reading), Frame)
        reading.close()


def test_rtsp() -> None:
    with rtsp_camera() as camera:
        source = open_source(camera.address + "/stream")
        frames = frames_of(source, 10)
        assert source.live
        assert number_of(frames[-1].image) > 0
        camera.credentials = "user:p@ss"
        frames_of(open_source(camera.address.replace("//", "//user:p%40ss@")), 2)
        wrong = error_of(camera.address.replace("//", "//user:s3cret@"))
    assert "401: the camera refuses the user's name or password" in wrong
    assert "s3cret" not in wrong


def test_rtsp_that_breaks_off() -> None:
    with rtsp_camera() as camera:
        camera.frames, camera.pause = 40, 0.005
        source = open_source(camera.address)
        reading = source.frames()
        while source.reconnects == 0:
            assert isinstance(next(reading), Frame)
        reading.close()


def test_secure_rtsp_checks_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    with rtsp_camera(context) as camera:
        address = camera.address.replace("127.0.0.1", "localhost")
        assert "SSL_CERT_FILE" in error_of(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        assert len(frames_of(open_source(address), 2)) == 2
        assert "certificate has to be of this host" in error_of(camera.address)


def test_credentials_of_motion_jpeg() -> None:
    with motion_jpeg_camera() as camera:
        camera.credentials = "user:p@ss"
        assert "401" in error_of(camera.address)
        wrong = error_of(camera.address.replace("//", "//user:s3cret@"))
        assert "put the user's name and password into the address" in wrong
        assert "s3cret" not in wrong
        frames_of(open_source(camera.address.replace("//", "//user:p%40ss@")), 1)


@pytest.mark.parametrize("ranges", [False, True])
def test_a_file_over_http_is_a_recording(files: FileServer, tmp_path: Path, ranges: bool) -> None:
    video = write_video(tmp_path / "a.mp4", gray_frames(12)).read_bytes()
    headers: dict[str, str | None] = {"Accept-Ranges": "bytes"} if ranges else {}
    source = open_source(files.add("/a.mp4", Route(video, headers=headers)))
    frames = frames_of(source)
    assert [number_of(frame.image) for frame in frames] == list(range(12))
    assert not source.live
    assert frames[-1].time == pytest.approx(1.1)


def test_a_recording_that_breaks_off(files: FileServer) -> None:
    video = transport_stream(200)
    address = files.add("/a.ts", Route(video, cuts=[len(video) // 2]))
    *frames, error = first(open_source(address), 1000)
    assert len(frames) > 50
    assert isinstance(error, InputError)
    assert f"breaks off after {len(frames)} frames: the connection was closed" in str(error)


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route(b"", status=404), "404 Not Found"),
        (Route(b"<html>", headers={"Content-Type": "text/html"}), "it is a web page, no video"),
        (Route(b"no video, only some words"), "of a kind that FFmpeg can't decode"),
        (Route(PNG), "it is an image, no video"),
        (Route(b'<?xml version="1.0"?><MPD>'), "DASH manifest"),
        (Route(b""), "of a kind that FFmpeg can't decode"),
    ],
)
def test_addresses_that_give_no_video(files: FileServer, route: Route, words: str) -> None:
    assert words in error_of(files.add("/a", route))


def test_hls_recordings(files: FileServer) -> None:
    for name in ("0.ts", "1.ts"):
        files.add(f"/{name}", Route(transport_stream(50)))
    address = files.add("/all.m3u8", Route(playlist("0.ts", "1.ts"), headers=PLAYLIST))
    source = open_source(address)
    assert len(frames_of(source)) == 100
    assert not source.live
    choice = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000,RESOLUTION=64x48\nall.m3u8\n"
    assert len(frames_of(open_source(files.add("/choice", Route(choice))))) == 100


def test_live_hls_comes_at_its_own_rate(files: FileServer) -> None:
    files.add("/0.ts", Route(transport_stream(50)))
    source = open_source(files.add("/a.m3u8", Route(playlist("0.ts", ends=False))))
    began = time.monotonic()
    frames = frames_of(source, 15)
    assert source.live
    # It arrives all at once: shown at that rate, one would see the last picture only.
    assert time.monotonic() - began >= frames[-1].time - frames[0].time
    assert frames[-1].time - frames[0].time == pytest.approx(
        (frames[-1].index - frames[0].index) / 25, abs=0.01
    )


@pytest.mark.parametrize(
    "name",
    ["file:///etc/passwd", "concat:/etc/passwd", "ftp://127.0.0.1/a.ts", "rtsp://127.0.0.1/a"],
)
def test_a_playlist_names_nothing_but_web_addresses(files: FileServer, name: str) -> None:
    files.add("/0.ts", Route(transport_stream(5)))
    files.add("/bad.m3u8", Route(playlist(name)))
    choice = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\n{name}\n".encode()
    key = playlist("0.ts").replace(b"#EXTINF", f'#EXT-X-MAP:URI="{name}"\n#EXTINF'.encode())
    for body in (playlist("0.ts", name), choice, key):
        assert f"its playlist names '{name}': only http" in error_of(
            files.add("/a.m3u8", Route(body))
        )
    nested = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\nbad.m3u8\n"
    assert "/b.m3u8" in error_of(files.add("/b.m3u8", Route(nested)))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (playlist(), "its playlist names no video"),
        (playlist("none.ts"), "of its playlist: the server answered 404"),
        (
            playlist("0.ts").replace(b"#EXTINF", b'#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF'),
            "its parts are encrypted",
        ),
        (b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nkey.m3u8\n", "its parts are encrypted"),
    ],
)
def test_playlists_without_a_video(files: FileServer, body: bytes, words: str) -> None:
    files.add("/0.ts", Route(transport_stream(5)))
    files.add("/k", Route(bytes(16)))
    keyed = b'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"\n#EXTINF'
    files.add("/key.m3u8", Route(playlist("0.ts").replace(b"#EXTINF", keyed), headers=PLAYLIST))
    assert words in error_of(files.add("/a.m3u8", Route(body)))


def test_a_part_that_leads_elsewhere(files: FileServer) -> None:
    files.add("/0.ts", Route(status=302, headers={"Location": "file:///etc/passwd"}))
    error = error_of(files.add("/a.m3u8", Route(playlist("0.ts"))))
    assert "'file:///etc/passwd' is not allowed" in error


def test_repr_of_a_camera() -> None:
    camera = open_source("rtsp://u:s3cret@host/a")
    assert isinstance(camera, Camera)
    assert repr(camera) == "<Camera 'rtsp://host/a'>"


PARTS = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n--x\r\n"


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (PARTS, b"X: y\r\n" * 100),
        (PARTS + b"X: ", b"y" * 4000),
        (PARTS + b"Content-Length: 2000000000\r\n\r\n\xff\xd8\xff", b"y" * 4000),
        (PARTS + b"\r\n\xff\xd8\xff", b"y" * 4000),
        (b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n", b"\x47" + b"\xff" * 187),
    ],
)
@pytest.mark.parametrize("limit", ["WITHOUT_FRAME_S", "_BYTES_WITHOUT_FRAME"])
def test_streams_without_frames_and_without_end(
    monkeypatch: pytest.MonkeyPatch, begin: bytes, again: bytes, limit: str
) -> None:
    monkeypatch.setattr(web_videos, limit, 0.5 if limit == "WITHOUT_FRAME_S" else 2**20)
    with endless_server(begin, again) as url:
        assert "it sends data without end, but no frames" in error_of(url)
