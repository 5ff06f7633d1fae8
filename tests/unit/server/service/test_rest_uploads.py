"""How a body may be sent, against a real service that needs no Triton for it."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connections import LIMITS, POST, alive, answers, connection, refusal, send_until_cut
from leftovers import wait_until
from rest_service import NO_TRITON, rest_service


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with rest_service(NO_TRITON, **LIMITS) as running:
        yield running


UPGRADES = {
    "Java": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAE\r\nUpgrade: h2c\r\n",
    "curl": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
    "other": b"Connection: keep-alive, upgrade\r\nUpgrade: foo/2, bar\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
    "WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
    "without Connection": b"Upgrade: h2c\r\n",
    "none": b"",
}

# Not an image, so that it is answered without Triton.
ASKED = b'{"image": "@", "logId": "mine"}'


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("pause", [0, 0.05], ids=["at once", "in parts"])
@pytest.mark.parametrize("headers", UPGRADES.values(), ids=UPGRADES)
def test_offers_of_other_protocols_are_ignored(
    address: str, headers: bytes, pause: float, chunked: bool
) -> None:
    head = POST + headers
    if chunked:
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ASKED), ASKED)
    else:
        head += b"Content-Length: %d\r\n\r\n" % len(ASKED)
        body = ASKED
    with connection(address) as opened:
        # The connection goes on.
        for _ in range(2):
            if pause:
                for part in (head, body[:10], body[10:]):
                    opened.sendall(part)
                    time.sleep(pause)
            else:
                opened.sendall(head + body)
            told = answers(opened, 1)
            assert b" 422 " in told
            assert b'"logId":"mine"' in told
            assert b"not base64" in told


def test_a_long_head_with_such_an_offer() -> None:
    """Longer than what is parsed at once."""
    headers = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 50_000) for number in range(3))
    head = POST + UPGRADES["Java"] + headers + b"Content-Length: %d\r\n\r\n" % len(ASKED)
    limits = LIMITS | {"max_header_bytes": 200_000}
    with rest_service(NO_TRITON, **limits) as running, connection(running) as opened:
        opened.sendall(head + ASKED)
        assert b"not base64" in answers(opened, 1)


@pytest.mark.parametrize(
    ("version", "first"), [(b"1.1", b" 100 Continue"), (b"1.0", b" 422 Unprocessable")]
)
def test_clients_that_wait_before_they_send(address: str, version: bytes, first: bytes) -> None:
    head = POST.replace(b"HTTP/1.1", b"HTTP/" + version) + b"Expect: 100-continue\r\n"
    with connection(address) as opened:
        opened.sendall(head + b"Content-Length: %d\r\n\r\n" % len(ASKED))
        if version == b"1.1":
            assert first in opened.recv(4096)
        opened.sendall(ASKED)
        told = answers(opened, 1)
        assert b" 422 " in told.splitlines()[0]


def test_clients_that_need_not_send_what_they_announced(address: str) -> None:
    """Whether they send it nonetheless is not known, so the connection can't be used again."""
    with connection(address) as opened:
        opened.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n")
        assert "larger than the 1 MB" in refusal(opened, 413)


def test_bodies_that_do_not_end(address: str) -> None:
    """They are answered, then cut."""
    with connection(address) as opened:
        opened.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        sent = send_until_cut(opened, chunk)
        assert sent * len(chunk) > LIMITS["max_body_bytes"]
    assert alive(address)


def test_a_few_lines_may_follow_the_chunks(address: str) -> None:
    body = b"%x;name=value\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(ASKED), ASKED)
    with connection(address) as opened:
        for _ in range(2):
            opened.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
            assert b"not base64" in answers(opened, 1)


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"0\r\n", b"X: y\r\n" * 1000),
        (b"0\r\nX: ", b"y" * 6000),
        (b"5;", b"y" * 6000),
        (b"", b"0" * 6000),
    ],
    ids=["lines", "a line", "an extension", "a length"],
)
def test_what_surrounds_the_chunks_ends(address: str, begun: bytes, more: bytes) -> None:
    """It would take memory, or nothing but time."""
    with connection(address) as opened:
        opened.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + begun)
        assert send_until_cut(opened, more) * len(more) < 5_000_000
    assert alive(address)


def test_a_refused_body_may_be_sent_to_its_end(address: str) -> None:
    with connection(address) as opened:
        opened.sendall(POST + b"Content-Length: 3000000\r\n\r\n")
        opened.sendall(bytes(3_000_000))
        assert b" 413 " in opened.recv(65536)
        # The connection goes on.
        opened.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in opened.recv(65536)


@pytest.mark.slow
def test_uploads_that_break_off_leave_no_memory() -> None:
    """Their errors may live until Python's next garbage collection, which is far away."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    part = b" " * 15_000_000
    with rest_service(NO_TRITON, max_body_bytes=2 * len(part)) as address:
        before = resident()
        for _ in range(8):
            with connection(address) as opened:
                opened.sendall(POST + b"Content-Length: %d\r\n\r\n" % (2 * len(part)))
                opened.sendall(part)
        # Unless they are freed at once, 120 MB.
        assert wait_until(lambda: resident() - before < 40e6)
