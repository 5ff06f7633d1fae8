"""Part ``connections``: clients that send what no request has, over connections to REST."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode

from tools.soak.context import Context
from tools.soak.endpoints import REST, STREAM
from tools.soak.memory import memory_sizes
from tools.soak.report import Outcome, Report

_REST_ROLE = "rest"

_CLIENTS = 4

# Bytes over one connection: more than the system's buffers take, so that clients wait for REST.
_MOST_SENT = 12_000_000
# What a connection may hold is a body that would be accepted; one of each client's may be closing.
_BODIES = {"one-byte chunks": 2 * _CLIENTS * _MOST_SENT // 6}

_SAMPLE_SECONDS = 0.05

# Good requests before memory counts: the first ones load what later ones use.
_WARM_UP = 20

# Of what the service had then.
_MOST_MEMORY = 1.2

_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
_READY = _HEALTH.replace(b"/health", b"/health/ready")
_POST = (
    b"POST /human-keypoint-detection HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\n"
)
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
# Refused by the pipeline, so that it reaches Triton and costs little there.
_IMAGE = b"\xff\xd8\xff" * 400
_BODY = json.dumps({"image": base64.b64encode(_IMAGE).decode()}).encode()
_LENGTH = b"Content-Length: %d\r\n\r\n" % len(_BODY)
_UPGRADE = b"Connection: upgrade\r\nUpgrade: h2c\r\n"

_WEBSOCKET = (
    b"GET /human-keypoint-detection/track HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def _frame(opcode: Opcode, data: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=mask)


_STREAM = _WEBSOCKET + _frame(Opcode.TEXT, b"{}")

ATTACKS: Mapping[str, tuple[bytes, bytes]] = {
    "lines behind the chunks": (_CHUNKED + b"0\r\n", b"X: y\r\n" * 20_000),
    "a line behind the chunks": (_CHUNKED + b"0\r\nX: ", b"y" * 120_000),
    "an extension of a chunk": (_CHUNKED + b"5;", b"y" * 120_000),
    "many headers": (b"", _POST + b"X: y\r\n" * 30_000),
    "a large header in one packet": (b"", _POST + b"X: " + b"y" * 200_000 + b"\r\n\r\n"),
    "a long address": (b"GET /", b"y" * 200_000),
    "requests before an answer": (b"", _HEALTH * 3000),
    "readiness before an answer": (b"", _READY * 3000),
    "requests behind an image": (_POST + _LENGTH + _BODY, _HEALTH * 3000),
    "images before an answer": (b"", (_POST + _LENGTH + _BODY) * 60),
    "offers of another protocol": (b"", (_POST + _UPGRADE + _LENGTH + _BODY) * 60),
    "streams without a greeting": (b"", _WEBSOCKET * 300),
    "a large greeting": (_WEBSOCKET + b"\x81\xff" + b"\0\0\0\0\x7f" + bytes(7), b"y" * 120_000),
    "a frame without end": (_STREAM + b"\x82\xff" + b"\0\0\0\0\x7f" + bytes(7), b"y" * 120_000),
    "parts without end": (
        _STREAM + _frame(Opcode.BINARY, b"y", fin=False),
        _frame(Opcode.CONT, b"", fin=False) * 20_000,
    ),
    "pings": (_STREAM, _frame(Opcode.PING, b"y" * 125) * 2000),
    "frames without a mask": (_STREAM, _frame(Opcode.BINARY, b"y" * 999, mask=False) * 100),
    "texts whose answers nobody reads": (_STREAM, _frame(Opcode.TEXT, b"{") * 10_000),
    "frames whose answers nobody reads": (
        _STREAM,
        _frame(Opcode.BINARY, b"\xff\xd8\xff" * 400) * 60,
    ),
    # The last: the bodies are given back to the system a little later.
    "one-byte chunks": (_CHUNKED, b"1\r\n \r\n" * 20_000),
}
"""What a client sends first, and then again and again, until its connection is cut."""


async def run_connections(context: Context, report: Report) -> None:
    """Attack connections in each way, and see that memory stays and others are served."""
    seconds = context.plan.attack_seconds
    clients = context.clients(report)
    rest, stream = (each for each in context.endpoints if each.name in (REST, STREAM))

    def memory() -> int:
        return memory_sizes(context.service.processes()).get(_REST_ROLE, 0)

    for _ in range(_WARM_UP):
        await clients.known(rest)
        await clients.known(stream)
    idle = memory()
    report.figures["memory of rest before, MB"] = f"{idle / 1e6:.0f}"
    for name, (first, more) in ATTACKS.items():
        context.progress(f"connections: {name}")
        sent, peak = await _attack(context.service.addresses.rest, first, more, seconds, memory)
        report.figures[name] = f"{sent / 1e6:.0f} MB sent, memory {peak / 1e6:.0f} MB"
        if peak > idle * _MOST_MEMORY + _BODIES.get(name, 0):
            report.violate(f"{name}: memory of rest {peak / 1e6:.0f} MB, before {idle / 1e6:.0f}")
        for endpoint in (rest, stream):
            if await clients.known(endpoint) != Outcome.ANSWERED:
                report.violate(f"{name}: a good request to {endpoint.name} got no answer then")


async def _attack(
    url: str, first: bytes, more: bytes, seconds: float, memory: Callable[[], int]
) -> tuple[int, int]:
    """Let clients send for some seconds; returns the bytes sent, and the most memory meanwhile."""
    parts = urlsplit(url)
    end = time.monotonic() + seconds
    sent = 0

    async def client() -> None:
        nonlocal sent
        while time.monotonic() < end:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                with contextlib.suppress(ConnectionError):
                    writer.write(first)
                    for _ in range(max(_MOST_SENT // len(more), 1)):
                        if time.monotonic() > end:
                            break
                        writer.write(more)
                        await asyncio.wait_for(writer.drain(), seconds)
                        sent += len(more)
            finally:
                # Also where nobody takes the data any more.
                writer.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    clients = asyncio.gather(*(client() for _ in range(_CLIENTS)), return_exceptions=True)
    peak = 0
    while not clients.done():
        peak = max(peak, await asyncio.to_thread(memory))
        await asyncio.sleep(_SAMPLE_SECONDS)
    for each in await clients:
        # A client whose data nobody takes any more gives up.
        if isinstance(each, BaseException) and not isinstance(each, asyncio.TimeoutError):
            raise each
    return sent, peak
