"""WebSockets on which people are followed, as their clients have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PATH = "human-keypoint-detection/track"
# Triton is a pretended one: nobody decodes it.
IMAGE = b"\xff\xd8\xff an image"


@contextmanager
def stream(
    address: str, first: object = None, *, ready: bool = True, **options: Any
) -> Iterator[ClientConnection]:
    """A stream whose first message is sent, and answered where the service is ``ready`` for it."""
    url = f"{address.replace('http', 'ws', 1)}{PATH}"
    with connect(url, proxy=None, **options) as opened:
        opened.send(json.dumps(first or {}))
        if ready:
            assert told(opened)["errorMsg"] == "Ready"
        yield opened


def told(opened: ClientConnection) -> dict[str, Any]:
    """The next answer."""
    document: dict[str, Any] = json.loads(opened.recv(10))
    return document


def problem(opened: ClientConnection, status: int) -> str:
    """The message of a failure."""
    document = told(opened)
    assert document["errorCode"] == status
    message: str = document["errorMsg"]
    return message


def closed(opened: ClientConnection) -> tuple[int, str]:
    """Code and reason of the connection's end, before which nothing comes."""
    with pytest.raises(ConnectionClosed) as caught:
        opened.recv(10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def metric(address: str, name: str) -> float:
    """The value of a metric, by how its line begins."""
    lines = httpx.get(f"{address}metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[-1])


def upgrade(host: str = "localhost", without: str = "") -> bytes:
    """A request for a WebSocket, without the line that begins with some words."""
    lines = [
        f"GET /{PATH} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    kept = [line for line in lines if not without or not line.startswith(without)]
    return "\r\n".join([*kept, "", ""]).encode()
