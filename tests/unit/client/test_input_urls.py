"""URLs as inputs, from a real HTTP server that misbehaves."""

import base64
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from certificates import make_certificates
from endless_server import endless_server
from file_server import FileServer, Route, file_server
from tritonpose import InputError
from tritonpose.inputs import decode_source, expand_inputs, load_source, path_of, urls
from tritonpose.inputs.deadlines import Deadline

JPEG = cv2.imencode(".jpg", np.full((40, 60, 3), (10, 20, 200), np.uint8))[1].tobytes()


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def failure(url: str) -> str:
    with pytest.raises(InputError) as caught:
        load_source(url)
    assert caught.value.input == url
    assert repr(url) in str(caught.value)
    return str(caught.value)


def test_nothing_is_fetched_before_its_turn(files: FileServer) -> None:
    url = files.add("/photo.jpg", Route(JPEG))
    (source,) = expand_inputs([url])
    assert path_of(source) == url
    assert files.requests == []
    (image,) = load_source(source)
    assert (image.input_path, image.source) == (url, JPEG)
    assert str(files.requests[0][1]["User-Agent"]).startswith("tritonpose/")


def test_a_body_of_unannounced_length_and_a_format_that_the_server_cannot_decode(
    files: FileServer,
) -> None:
    tiff = cv2.imencode(".tiff", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    (image,) = load_source(files.add("/photo", Route(tiff, headers={"Content-Length": None})))
    assert not isinstance(image.source, bytes | np.ndarray)
    np.testing.assert_array_equal(decode_source(image.source, None), np.zeros((4, 6, 3)))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("ftp://127.0.0.1/a.jpg", "unknown url type: ftp"),
        ("file:///etc/hostname", "'file:///etc/hostname' is not allowed"),
    ],
)
def test_redirects_lead_to_http_alone(files: FileServer, target: str, words: str) -> None:
    url = files.add("/old", Route(headers={"Location": target}, statuses=[302]))
    assert words in failure(url)


def test_urls_are_percent_encoded_where_they_are_not(files: FileServer) -> None:
    files.add("/h%C3%B6he%20%C3%A4.jpg?q=%C3%BC&a=b%20c", Route(JPEG))
    assert load_source(f"{files.address}/höhe ä.jpg?q=ü&a=b c#part")[0].source == JPEG
    assert load_source(f"{files.address}/h%C3%B6he%20ä.jpg?q=ü&a=b%20c")[0].source == JPEG


def test_redirects_are_followed_and_credentials_go_to_their_host_alone(files: FileServer) -> None:
    with file_server() as other:
        elsewhere = other.add("/photo.jpg", Route(JPEG))
        files.add("/photo.jpg", Route(headers={"Location": elsewhere}, statuses=[302]))
        url = files.address.replace("//", "//me:p%40ss@") + "/photo.jpg"
        (image,) = load_source(url)
        assert (image.input_path, image.source) == (url, JPEG)
        assert other.requests[0][1]["Authorization"] is None
    token = base64.b64encode(b"me:p@ss").decode()
    assert files.requests[0][1]["Authorization"] == f"Basic {token}"


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route(statuses=[404]), "the server answered 404 Not Found"),
        (Route(statuses=[503]), "503 Service Unavailable"),
        (Route(JPEG, cuts=[100]), f"closed after 100 of {len(JPEG)} bytes"),
        (Route(b"<!DOCTYPE html><p>Sign in"), "looks like markup text"),
        (Route(b"\0\0\0\x18ftypisom" + bytes(99)), "looks like a video; download it first"),
        (Route(b""), "is empty"),
        (Route(headers={"Location": "/it"}, statuses=[302] * 20), "infinite loop"),
    ],
)
def test_answers_that_are_no_image(files: FileServer, route: Route, words: str) -> None:
    assert words in failure(files.add("/it", route))


@pytest.mark.parametrize(
    "route",
    [
        Route(statuses=[403]),
        Route(b""),
        Route(b"<!DOCTYPE html><p>Sign in"),
        Route(b"\0\0\0\x18ftypisom" + bytes(99)),
        Route(JPEG[:300]),
    ],
)
def test_messages_hold_no_secrets_of_an_address(files: FileServer, route: Route) -> None:
    url = files.add("/it?token=secret", route).replace("//", "//me:secret@")
    with pytest.raises(InputError) as caught:
        decode_source(load_source(url)[0].source, url)  # type: ignore[arg-type]
    assert caught.value.input == url
    assert "/it?token=***" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("announced", [True, False])
def test_too_large(files: FileServer, monkeypatch: pytest.MonkeyPatch, announced: bool) -> None:
    monkeypatch.setattr(urls, "MAX_BYTES", 2**20)
    headers: dict[str, str | None] = {} if announced else {"Content-Length": None}
    message = failure(files.add("/huge.jpg", Route(bytes(2**20 + 1), headers=headers)))
    assert "larger than the 1 MiB that are fetched" in message
    assert (f"{2**20 + 1} bytes" in message) == announced
    assert len(load_source(files.add("/large.jpg", Route(JPEG + bytes(2**20 - len(JPEG))))))


@pytest.mark.parametrize(
    ("route", "limit", "words"),
    [
        (Route(silent=True), "SILENCE_S", "the server kept silent for 0.3 s"),
        (Route(JPEG, cuts=[99], hangs=True), "SILENCE_S", "the server kept silent for 0.3 s"),
        (Route(JPEG, pause=0.05), "TOTAL_S", "not all of it came within 0.3 s"),
    ],
)
def test_slow_servers(
    files: FileServer, monkeypatch: pytest.MonkeyPatch, route: Route, limit: str, words: str
) -> None:
    monkeypatch.setattr(urls, limit, 0.3)
    assert words in failure(files.add("/slow.jpg", route))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://no-such-host.invalid/a.jpg", "unknown host"),
        ("http://127.0.0.1:9/a.jpg", "Connection refused"),
        ("http://[::1/a.jpg", "Invalid IPv6 URL"),
        ("http://127.0.0.1:port/a.jpg", "port"),
        ("http:///a.jpg", "no host given"),
        ("http://" + "ö" * 70 + ".de/a.jpg", "too long"),
    ],
)
def test_urls_that_lead_nowhere(url: str, words: str) -> None:
    assert words in failure(url)


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        url = f"https://localhost:{server.server_port}/a.jpg"
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            assert "certificate can't be trusted (" in failure(url)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
            assert "the server answered 501" in failure(url)
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("multipart/x-mixed-replace;boundary=x", "a camera's stream, which has no end"),
        ("video/mp4", "a video .video/mp4.; download it first"),
        ("application/vnd.apple.mpegurl", "a video .*; download it first"),
    ],
)
def test_streams_are_known_by_their_type_before_they_are_read(
    files: FileServer, kind: str, words: str
) -> None:
    url = files.add("/stream", Route(JPEG, headers={"Content-Type": kind, "Content-Length": None}))
    with pytest.raises(InputError, match=words):
        load_source(url)


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 ", b"2"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"y"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"y"),
    ],
)
def test_servers_that_send_a_little_all_the_time(
    monkeypatch: pytest.MonkeyPatch, begin: bytes, again: bytes
) -> None:
    monkeypatch.setattr(urls, "TOTAL_S", 0.6)
    with endless_server(begin, again, pause=0.02) as url:
        assert "not all of it came within 0.6 s" in failure(url)


def test_a_proxy_that_sends_a_little_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "TOTAL_S", 0.6)
    monkeypatch.setenv("no_proxy", "")
    with endless_server(b"HTTP/1.1 200 OK\r\nX: ", b"y", pause=0.02) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        assert "not all of it came within 0.6 s" in failure("https://camera.example/a.jpg")


def test_a_connection_that_is_made_too_late_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Deadline(0.001) as deadline:
        while not deadline.passed:
            time.sleep(0.001)
        with deadline.connect(server.getsockname(), 60) as late:
            assert late.recv(1) == b""
