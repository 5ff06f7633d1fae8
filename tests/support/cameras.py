"""Cameras on 127.0.0.1: motion JPEG over HTTP, and RTSP; they may hang, die and come back."""

from __future__ import annotations

import base64
import io
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import av
import cv2
import numpy as np

BOUNDARY = b"--frame\r\n"


def jpeg_file(number: int) -> bytes:
    """Frame ``number`` of `videos.gray_frames`."""
    image = np.full((48, 64, 3), 10 * (number % 20), np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def jpeg_part(data: bytes) -> bytes:
    """Make an image a part of a camera's answer."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    return BOUNDARY + head + data + b"\r\n"


def transport_stream(count: int, codec: str = "mpeg2video", rate: int = 25) -> bytes:
    """Gray frames as MPEG-TS."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            image = np.full((48, 64, 3), 10 * (number % 20), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class CameraServer:
    """What the camera does now: it may be told otherwise while it runs.

    Attributes:
        connections: How many there were.
        frames: How many frames a connection gives before it breaks off; None for no end.
        silent: Nothing is answered.
        image: What motion JPEG sends as frame of a number.
        credentials: The name and password that are asked for, by Basic.
    """

    def __init__(self) -> None:
        self.address = ""
        self.connections = 0
        self.frames: int | None = None
        self.silent = False
        self.image = jpeg_file
        self.credentials = ""
        self.pause = 0.02
        self.closing = threading.Event()

    def allows(self, authorization: str | None) -> bool:
        token = base64.b64encode(self.credentials.encode()).decode()
        return not self.credentials or authorization == f"Basic {token}"

    def numbers(self) -> Iterator[int]:
        """Count frames at the camera's rate."""
        number = 0
        while not self.closing.wait(self.pause) and number != self.frames:
            yield number
            number += 1


@contextmanager
def _running(
    scheme: str, handle: Callable[[CameraServer, Any], None], wrap: Any = None
) -> Iterator[CameraServer]:
    camera = CameraServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            camera.connections += 1
            with suppress(OSError):
                if camera.silent:
                    camera.closing.wait(30)
                else:
                    handle(camera, self)

    with _Server(("127.0.0.1", 0), Handler) as server:
        if wrap is not None:
            server.socket = wrap.wrap_socket(server.socket, server_side=True)
        camera.address = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield camera
        finally:
            camera.closing.set()
            server.shutdown()
            thread.join()


@contextmanager
def motion_jpeg_camera() -> Iterator[CameraServer]:
    """Run a camera that answers with motion JPEG over HTTP."""

    def handle(camera: CameraServer, handler: Any) -> None:
        headers = b""
        while (line := handler.rfile.readline()).strip():
            headers += line
        authorization = [
            line.partition(b": ")[2].decode()
            for line in headers.splitlines()
            if line.lower().startswith(b"authorization:")
        ]
        if not camera.allows(authorization[0] if authorization else None):
            handler.wfile.write(b"HTTP/1.0 401 Unauthorized\r\n\r\n")
            return
        handler.wfile.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
        )
        for number in camera.numbers():
            handler.wfile.write(jpeg_part(camera.image(number)))

    with _running("http", handle) as camera:
        yield camera


@contextmanager
def rtsp_camera(wrap: Any = None) -> Iterator[CameraServer]:
    """Run a camera that speaks RTSP over TCP: MPEG-TS in RTP."""
    packets = transport_stream(200)

    def handle(camera: CameraServer, handler: Any) -> None:
        while request := handler.rfile.readline().decode():
            method = request.split()[0]
            fields = {}
            while line := handler.rfile.readline().decode().strip():
                name, _, value = line.partition(": ")
                fields[name.lower()] = value
            status, extra, body = "200 OK", "Session: 1\r\n", ""
            if not camera.allows(fields.get("authorization")):
                status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"\r\n'
            elif method == "OPTIONS":
                extra = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
                    "a=control:track1\r\n"
                )
                extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                extra += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            answer = f"RTSP/1.0 {status}\r\nCSeq: {fields['cseq']}\r\n{extra}\r\n{body}"
            handler.wfile.write(answer.encode())
            if method == "PLAY":
                _send_packets(camera, handler.wfile, packets)
                return

    with _running("rtsps" if wrap else "rtsp", handle, wrap) as camera:
        yield camera


def _send_packets(camera: CameraServer, file: Any, packets: bytes) -> None:
    """Send a transport stream, some packets at a time, interleaved with nothing."""
    step = 7 * 188
    for number in camera.numbers():
        part = packets[number * step % (len(packets) - step) :][:step]
        header = bytes([0x80, 33]) + (number & 0xFFFF).to_bytes(2, "big")
        header += (number * 1800).to_bytes(4, "big") + bytes(4)
        file.write(b"$\0" + (len(header) + len(part)).to_bytes(2, "big") + header + part)
