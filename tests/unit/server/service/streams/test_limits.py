"""What the clients of WebSockets may not do."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connections import connection, send_until_cut
from file_server import FileServer
from leftovers import wait_until
from pretended_triton import answer, pretended_triton
from rest_service import NO_TRITON, rest_service
from streams import IMAGE, PATH, closed, metric, problem, stream, told, upgrade
from tritonpose_server.service.rest.app import create_app
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.service.rest.stream import StreamSession
from tritonpose_server.service.rest.websocket import WebSocketConnection

LIMITS = {
    "header_timeout": 0.4,
    "receive_timeout": 0.3,
    "keep_alive_timeout": 1.0,
    "send_timeout": 0.4,
    "max_header_bytes": 2000,
    "max_frame_bytes": 100_000,
    "max_streams": 3,
}


@pytest.fixture(scope="module")
def limited(triton: FileServer) -> Iterator[str]:
    with rest_service(triton.address, **LIMITS) as running:
        yield running


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """A frame as clients send it, with a mask of zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return bytes([(0x80 if last else 0) | opcode]) + length + bytes(4) + payload


@contextmanager
def raw(address: str) -> Iterator[socket.socket]:
    """A connection that has become a WebSocket, for frames of any kind."""
    with connection(address) as opened:
        opened.sendall(upgrade())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += opened.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield opened


def rest_of(opened: socket.socket) -> bytes:
    """What comes until the end, which the client then agrees to."""
    data = b""
    with suppress(ConnectionError):
        while part := opened.recv(65536):
            data += part
            if b"\x88" in data:
                opened.shutdown(socket.SHUT_WR)
    return data


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (frame(2, IMAGE), 4422, b"the first message must be a text"),
        (frame(1, b"\xff"), 1007, b"not UTF-8"),
        (frame(1, b"x" * 9000), 1009, b"larger than 2000 bytes"),
        (frame(1, b"{}") + frame(1, b"[" * 9000), 1009, b"a text is larger than 2000 bytes"),
        (frame(1, b"{}") + frame(3, b""), 1002, b""),
        (frame(1, b"{}") + frame(0, b"x"), 1002, b""),
        (b"\x82\x01x", 1002, b""),
        (b"GET / HTTP/1.1\r\n\r\n", 1002, b""),
        (frame(1, b"{}") + b"\x82\xfe\xff\xff" * 2, 0, b""),
        (frame(1, b"{}") + b"\x82\xff" + struct.pack("!Q", 2**62) + bytes(4), 1009, b"100000"),
        (frame(1, b"{}") + frame(2, b"", last=False) + frame(0, b"", last=False) * 5000, 1008, b""),
        (frame(1, b"{}") + frame(9, b"") * 5000, 1008, b"too many small frames"),
    ],
)
def test_mistakes_end_the_connection(limited: str, data: bytes, code: int, words: bytes) -> None:
    with raw(limited) as opened:
        with suppress(ConnectionError):
            opened.sendall(data)
        rest = rest_of(opened)
    assert words in rest
    if code:
        assert struct.pack("!H", code) in rest
    assert httpx.get(f"{limited}health").status_code == 200


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ([b""], 4408, b"the first message did not arrive within 0.4 s"),
        ([b"\x81"], 1008, b"did not arrive within 0.3 s"),
        ([frame(1, b"{}")], 4408, b"no message came within 1 s"),
        ([frame(1, b"{}"), frame(2, b"x" * 200)[:50]], 1008, b"did not arrive within 0.3 s"),
        ([frame(1, b"{}"), frame(2, b"x", last=False)], 1008, b"did not arrive within 0.3 s"),
    ],
)
def test_silent_clients_are_closed(
    limited: str, parts: list[bytes], code: int, words: bytes
) -> None:
    with raw(limited) as opened:
        for part in parts:
            opened.sendall(part)
            time.sleep(0.05)
        rest = rest_of(opened)
    assert words in rest
    assert struct.pack("!H", code) in rest


def test_a_client_that_reads_nothing_is_cut() -> None:
    # Answers of 100 kB.
    with (
        pretended_triton(answer(100)) as many,
        rest_service(many.http.address, send_timeout=0.3) as running,
        socket.socket() as opened,
    ):
        parts = urlsplit(running)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.settimeout(10)
        opened.connect((parts.hostname, parts.port))
        opened.sendall(upgrade() + frame(1, b"{}"))
        send_until_cut(opened, frame(2, IMAGE), pause=0.002)
        assert wait_until(lambda: metric(running, "tritonpose_rest_streams ") == 0)


def test_a_client_that_leaves_before_it_is_told_why_the_stream_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[str] = []
    coming: list[dict[str, Any]] = [{"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        while not coming:
            await asyncio.sleep(0.01)
        return coming.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])
        if len(sent) > 1:
            raise ConnectionResetError

    scope = {
        "type": "websocket",
        "path": f"/{PATH}",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(create_app(RestSettings(NO_TRITON, header_timeout=0.01))(scope, receive, send))
    assert sent == ["websocket.accept", "websocket.send"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_streams_beyond_the_limit(limited: str) -> None:
    with stream(limited) as one, stream(limited) as two, stream(limited) as three:
        for opened in (one, two, three):
            opened.send(IMAGE)
            assert told(opened)["errorCode"] == 0
        with stream(limited, ready=False) as opened:
            assert "3 connections that follow people (max_streams)" in problem(opened, 503)
            assert closed(opened)[0] == 4503
    assert wait_until(lambda: metric(limited, "tritonpose_rest_streams ") == 0)
    with stream(limited) as opened:
        opened.send(IMAGE)
        assert told(opened)["errorCode"] == 0


def test_websockets_count_as_connections(triton: FileServer) -> None:
    with rest_service(triton.address, max_connections=2) as running:
        with stream(running), stream(running):
            assert httpx.get(f"{running}health").status_code == 503
        assert wait_until(lambda: httpx.get(f"{running}health").status_code == 200)


def test_what_comes_with_the_request_waits_for_its_answer(
    limited: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Mistakes, and clients that have gone, are nothing that the log of errors tells."""
    with connection(limited) as opened:
        opened.sendall(upgrade() + frame(1, b"\xff"))
        answered = rest_of(opened)
    assert answered.startswith(b"HTTP/1.1 101 ")
    assert struct.pack("!H", 1007) in answered
    for _ in range(20):
        with connection(limited) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            opened.sendall(upgrade() + frame(1, b"\xff"))
    assert wait_until(lambda: httpx.get(f"{limited}health").status_code == 200)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_streams_that_end_leave_nothing(limited: str) -> None:
    """No part of them waits for Python's garbage collection, which may be far away."""

    def left() -> int:
        kinds = (StreamSession, WebSocketConnection, HttpToolsProtocol)
        return sum(issubclass(type(each), kinds) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            with raw(limited) as opened:
                opened.sendall(frame(1, b"{}") + frame(1, b"{") * 100)
            with raw(limited) as opened:
                opened.sendall(frame(1, b"{}", last=False))
            with stream(limited):
                pass
        assert wait_until(lambda: left() == 0)
    finally:
        gc.enable()
