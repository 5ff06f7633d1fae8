"""What a single connection may do, against a real service that needs no Triton for it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from leftovers import wait_until
from rest_service import rest_service

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
        ([POST + b"X: " + b"y" * 20_000 + b"\r\n\r\n"], 431, "larger than 10000 bytes"),
        ([POST + b"X:y\r\n" * 200], 431, "more than 128 headers"),
        ([b"GET /" + b"y" * 20_000], 431, "larger than 10000 bytes"),
        ([b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"], 431, "larger than 10000"),
        ([b"\x16\x03\x01\x02\x00\x01\x00"], 400, "it is encrypted, and this service is not"),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400, "speaks HTTP/1.1 only"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], 400, "Invalid method"),
        ([POST + b"Host: y\r\n\r\n"], 400, "several `Host` headers"),
        ([b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n"], 400, "its target has no path"),
        ([b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"], 400, "x:443"),
        ([b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"], 400, "Invalid char in url"),
        ([POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], 400, "Content-Length"),
        ([POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], 400, "chunk size"),
    ],
    ids=[
        *("drip", "do not end", "one packet", "many", "address", "address in one packet"),
        *("TLS", "HTTP/2", "no HTTP", "two hosts", "no path", "CONNECT", "not ASCII"),
        *("two lengths", "no chunk"),
    ],
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


def answers(opened: socket.socket, count: int) -> bytes:
    """What comes until some complete answers have come; they end with their JSON."""
    data = b""
    while data.count(b'"errorCode"') < count or not data.endswith(b"}"):
        part = opened.recv(65536)
        assert part, data
        data += part
    return data


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


def test_an_offer_with_close(address: str) -> None:
    with connection(address) as opened:
        opened.sendall(HEALTH[:-2] + b"Connection: close, upgrade\r\nUpgrade: h2c\r\n\r\n")
        status, headers, _ = answer(opened)
        assert (status, headers["connection"]) == (200, "close")


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


@pytest.mark.parametrize("target", [b"http://x:8080", b"HTTP://x", b""])
def test_old_and_complete_forms(address: str, target: bytes) -> None:
    with connection(address) as opened:
        opened.sendall(b"GET %b/health HTTP/1.0\r\n\r\n" % target)
        status, headers, body = answer(opened)
        assert (status, headers["connection"]) == (200, "close")
        assert "Healthy" in body


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


# --- several requests at once ---


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
        *("timeout_keep_alive_handler", "_unset_keepalive_if_required", "_start_asgi_task"),
        *("on_message_begin", "on_header", "on_body"),
    }
    assert methods <= set(dir(HttpToolsProtocol))
    config = uvicorn.Config(app=None, http=HttpToolsProtocol, log_config=None)
    config.load()
    loop = asyncio.new_event_loop()
    protocol = HttpToolsProtocol(config, ServerState(), {}, loop)
    loop.close()
    attributes = {
        *("connections", "server_state", "client", "cycle", "transport", "loop"),
        *("timeout_keep_alive", "timeout_keep_alive_task", "pipeline", "flow", "parser"),
        *("headers", "expect_100_continue"),
    }
    assert attributes <= set(vars(protocol))
    assert STATUS_LINE[431] == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    assert CLOSE_HEADER == (b"connection", b"close")
    assert {"handle_exit", "capture_signals", "startup"} <= set(dir(uvicorn.Server))


@pytest.mark.slow
def test_uploads_that_break_off_leave_no_memory() -> None:
    """Their errors may live until Python's next garbage collection, which is far away."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    part = b" " * 15_000_000
    with rest_service("grpc://127.0.0.1:9", max_body_bytes=2 * len(part)) as address:
        before = resident()
        for _ in range(8):
            with connection(address) as opened:
                opened.sendall(POST + b"Content-Length: %d\r\n\r\n" % (2 * len(part)))
                opened.sendall(part)
        # Unless they are freed at once, 120 MB.
        assert wait_until(lambda: resident() - before < 40e6)
