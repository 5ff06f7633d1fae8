"""Several requests on a connection, before the first of them is answered."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from connections import HEALTH, LIMITS, POST, alive, answers, connection, send_until_cut
from leftovers import wait_until
from rest_service import NO_TRITON, rest_service


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with rest_service(NO_TRITON, **LIMITS) as running:
        yield running


class SilentTriton(ThreadingHTTPServer):
    """It is ready, and answers no request for keypoints until it is over."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SilentHandler)
        self.over = threading.Event()


class SilentHandler(BaseHTTPRequestHandler):
    server: SilentTriton

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.server.over.wait()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def waiting() -> Iterator[str]:
    """The address of a service whose Triton answers no request for keypoints."""
    with SilentTriton() as triton:
        threading.Thread(target=triton.serve_forever, args=(0.05,)).start()
        url = f"http://127.0.0.1:{triton.server_port}"
        try:
            with rest_service(url, **LIMITS | {"triton_timeout": 30}) as running:
                yield running
        finally:
            triton.over.set()
            triton.shutdown()


IMAGE = json.dumps({"image": base64.b64encode(b"\xff\xd8\xff").decode()}).encode()

WORK = POST + b"Content-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE


def in_flight(address: str) -> float:
    (line,) = [
        line
        for line in httpx.get(f"{address}metrics").text.splitlines()
        if line.startswith("tritonpose_rest_requests_in_flight ")
    ]
    return float(line.split()[1])


def test_a_few_requests_at_once_are_answered_in_their_order(address: str) -> None:
    ids = [f"request-{number}" for number in range(6)]
    requests = [HEALTH[:-2] + f"X-Request-ID: {each}\r\n\r\n".encode() for each in ids]
    with connection(address) as opened:
        for _ in range(2):
            opened.sendall(b"".join(requests))
            told = answers(opened, len(ids)).decode()
            assert re.findall(r"x-request-id: (\S+)", told) == ids


def test_too_many_requests_at_once(address: str) -> None:
    """The first are answered, and the others ignored."""
    with connection(address) as opened:
        opened.sendall(HEALTH * 50)
        data = b""
        with suppress(ConnectionResetError):
            while part := opened.recv(65536):
                data += part
        assert 1 <= data.count(b"200 OK") < 20
    assert alive(address)


@pytest.mark.parametrize(
    "more",
    [HEALTH * 500, POST + b"Content-Length: 900000\r\n\r\n" + bytes(60_000), b"no HTTP\r\n" * 999],
    ids=["requests", "a body", "other data"],
)
def test_what_comes_before_an_answer_ends(waiting: str, more: bytes) -> None:
    with connection(waiting) as opened:
        opened.sendall(WORK)
        assert wait_until(lambda: in_flight(waiting) == 1)
        assert send_until_cut(opened, more) * len(more) < 20_000_000
    assert wait_until(lambda: in_flight(waiting) == 0)


@pytest.mark.parametrize(
    "queued",
    [b"", HEALTH, WORK, WORK + HEALTH, HEALTH[:9], HEALTH * 20, WORK[:-5], b"no HTTP\r\n"],
    ids=["nothing", "get", "post", "both", "begun", "many", "begun body", "no HTTP"],
)
def test_a_hang_up_is_noticed_whatever_waits(
    waiting: str, queued: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with connection(waiting) as opened:
        opened.sendall(WORK)
        assert wait_until(lambda: in_flight(waiting) == 1)
        opened.sendall(queued)
        time.sleep(0.05)
    assert wait_until(lambda: in_flight(waiting) == 0)
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []
