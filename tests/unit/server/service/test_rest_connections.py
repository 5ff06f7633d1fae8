"""What a single connection may do, against a real service that needs no Triton for it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from rest_service import rest_service

PATH = "/human-keypoint-detection"
POST = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()

LIMITS = {
    "header_timeout": 0.3,
    "receive_timeout": 0.6,
    "send_timeout": 0.3,
    "keep_alive_timeout": 2,
    "max_header_bytes": 10_000,
    "max_body_bytes": 1_000_000,
    "max_connections": 8,
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    # Nothing listens on port 9 of this machine.
    with rest_service("grpc://127.0.0.1:9", **LIMITS) as running:
        yield running


@contextmanager
def connection(address: str) -> Iterator[socket.socket]:
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as opened:
        yield opened


def answer(opened: socket.socket) -> tuple[int, dict[str, str], str]:
    """What comes until the connection is closed: status, headers, body."""
    data = b""
    try:
        while part := opened.recv(65536):
            data += part
    except ConnectionResetError:
        # It is closed while we were sending.
        pass
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body.decode()


def refusal(opened: socket.socket, status: int) -> str:
    """The message of a refusal in the usual form."""
    told, headers, body = answer(opened)
    assert told == status
    assert headers["connection"] == "close"
    document = json.loads(body)
    assert set(document) == {"logId", "errorCode", "errorMsg"}
    assert document["errorCode"] == status
    assert headers["x-request-id"] == document["logId"]
    message: str = document["errorMsg"]
    return message


def send_until_cut(opened: socket.socket, data: bytes, pause: float = 0) -> int:
    """Sends the same again and again; how often, until the connection was cut."""
    deadline = time.monotonic() + 8
    for count in range(1_000_000):
        try:
            opened.sendall(data)
        except ConnectionError:
            return count
        assert time.monotonic() < deadline
        time.sleep(pause)
    raise AssertionError("it was never cut")


def alive(address: str) -> bool:
    return httpx.get(f"{address}health").status_code == 200


def test_nothing_is_sent(address: str) -> None:
    with connection(address) as opened:
        assert opened.recv(1) == b""


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        ([POST, b"X", b"X"], 408, "did not arrive within 0.3 s"),
        ([POST + b"X: ", b"y" * 20_000], 431, "larger than 10000 bytes"),
        ([b"\x16\x03\x01\x02\x00\x01\x00"], 400, "Invalid HTTP"),
    ],
    ids=["drip", "do not end", "no HTTP"],
)
def test_headers_that_are_refused(
    address: str, parts: list[bytes], status: int, words: str
) -> None:
    with connection(address) as opened:
        for part in parts:
            opened.sendall(part)
            time.sleep(0.05)
        assert words in refusal(opened, status)
    assert alive(address)


@pytest.mark.parametrize("begun", [b"GET /health", b"\r\n"], ids=["begun", "blank line"])
def test_the_second_request_is_limited_too(address: str, begun: bytes) -> None:
    with connection(address) as opened:
        opened.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in opened.recv(4096)
        opened.sendall(begun)
        assert "did not arrive" in refusal(opened, 408)


def test_idle_connections_are_kept_for_a_while(address: str) -> None:
    with connection(address) as opened:
        for _ in range(2):
            opened.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 OK" in opened.recv(4096)
            # Longer than a header may take.
            time.sleep(0.5)
        assert opened.recv(1) == b""


def test_bodies_that_do_not_end(address: str) -> None:
    """They are answered, then cut."""
    with connection(address) as opened:
        opened.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        sent = send_until_cut(opened, chunk)
        assert sent * len(chunk) > LIMITS["max_body_bytes"]
    assert alive(address)


def test_a_refused_body_may_be_sent_to_its_end(address: str) -> None:
    with connection(address) as opened:
        opened.sendall(POST + b"Content-Length: 3000000\r\n\r\n")
        opened.sendall(bytes(3_000_000))
        assert b" 413 " in opened.recv(65536)
        # The connection goes on.
        opened.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in opened.recv(65536)


def test_answers_that_nobody_takes(address: str) -> None:
    """The page's files are asked for again and again, and never read."""
    with connection(address) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asking = b"GET /docs/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
        assert send_until_cut(opened, asking, pause=0.05) > 1
    assert alive(address)


def test_more_connections_than_allowed(address: str) -> None:
    idle = []
    try:
        for _ in range(LIMITS["max_connections"]):
            parts = urlsplit(address)
            idle.append(socket.create_connection((parts.hostname, parts.port), timeout=10))
        with connection(address) as opened:
            assert "too many connections are open" in refusal(opened, 503)
    finally:
        for each in idle:
            each.close()
    assert alive(address)


def test_the_private_names_of_uvicorn_exist() -> None:
    """An upgrade that changes them must be noticed here first."""
    methods = {
        *("connection_made", "connection_lost", "data_received", "pause_writing"),
        *("resume_writing", "on_headers_complete", "on_message_complete", "on_response_complete"),
        *("timeout_keep_alive_handler", "send_400_response", "_unset_keepalive_if_required"),
    }
    assert methods <= set(dir(HttpToolsProtocol))
    config = uvicorn.Config(app=None, http=HttpToolsProtocol, log_config=None)
    config.load()
    loop = asyncio.new_event_loop()
    protocol = HttpToolsProtocol(config, ServerState(), {}, loop)
    loop.close()
    attributes = {
        *("connections", "server_state", "client", "cycle", "transport", "loop"),
        *("timeout_keep_alive", "timeout_keep_alive_task"),
    }
    assert attributes <= set(vars(protocol))
    assert STATUS_LINE[431] == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    assert CLOSE_HEADER == (b"connection", b"close")
    assert {"handle_exit", "capture_signals", "startup"} <= set(dir(uvicorn.Server))
