"""Connections to the REST service, on which anything may be sent."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx

PATH = "/human-keypoint-detection"
POST = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

LIMITS = {
    "header_timeout": 0.3,
    "receive_timeout": 0.6,
    "send_timeout": 0.3,
    "keep_alive_timeout": 2,
    "max_header_bytes": 10_000,
    "max_body_bytes": 1_000_000,
    "max_connections": 8,
}


@contextmanager
def connection(address: str) -> Iterator[socket.socket]:
    """A connection to a service."""
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


def answers(opened: socket.socket, count: int) -> bytes:
    """What comes until some complete answers have come; they end with their JSON."""
    data = b""
    while data.count(b'"errorCode"') < count or not data.endswith(b"}"):
        part = opened.recv(65536)
        assert part, data
        data += part
    return data


def send_until_cut(opened: socket.socket, data: bytes, pause: float = 0) -> int:
    """Sends the same again and again; how often, until the connection was cut."""
    deadline = time.monotonic() + 20
    for count in range(1_000_000):
        try:
            opened.sendall(data)
        except ConnectionError:
            return count
        assert time.monotonic() < deadline
        time.sleep(pause)
    raise AssertionError("it was never cut")


def alive(address: str) -> bool:
    """Whether the service answers others."""
    return httpx.get(f"{address}health").status_code == 200
