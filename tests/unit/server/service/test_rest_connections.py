"""What a single connection may do, against a real service that needs no Triton for it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from connections import HEALTH, LIMITS, POST, alive, answer, connection, refusal, send_until_cut
from rest_service import NO_TRITON, rest_service


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with rest_service(NO_TRITON, **LIMITS) as running:
        yield running


def test_nothing_is_sent(address: str) -> None:
    with connection(address) as opened:
        assert opened.recv(1) == b""


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        ([POST, b"X", b"X"], 408, "within 0.3 s (header_timeout)"),
        ([POST + b"X: ", b"y" * 20_000], 431, "10000 bytes (max_header_bytes)"),
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


def test_an_offer_with_close(address: str) -> None:
    with connection(address) as opened:
        opened.sendall(HEALTH[:-2] + b"Connection: close, upgrade\r\nUpgrade: h2c\r\n\r\n")
        status, headers, _ = answer(opened)
        assert (status, headers["connection"]) == (200, "close")


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
            assert "too many connections are open (max_connections)" in refusal(opened, 503)
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
