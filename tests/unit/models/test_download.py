"""Downloading one file, from a real server on this machine."""

import hashlib
import socket
import sys
from dataclasses import replace

import httpx
import pytest

from file_server import Route, file_server
from terminal import Terminal
from tritonpose_server.models.fetch.download import (
    DownloadError,
    DownloadLimits,
    NotFoundError,
    download_file,
    redact_credentials,
)

BODY = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2
LIMITS = DownloadLimits(attempts=3, backoff_s=0.01)
IMPATIENT = replace(LIMITS, read_timeout_s=0.3)


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with file_server() as running:
        yield running


def fails(address, tmp_path, match, **options):
    """Download in vain: what is there stays, nothing is left beside it."""
    target = tmp_path / "file"
    target.write_bytes(b"the old file")
    with pytest.raises(DownloadError, match=match) as caught:
        download_file(address, target, **{"limits": LIMITS, **options})
    assert str(caught.value).startswith(redact_credentials(address) + ": ")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"the old file"
    return caught.value


def succeeds(address, tmp_path, **options):
    target = tmp_path / "file"
    digest = download_file(address, target, **{"limits": LIMITS, **options})
    assert target.read_bytes() == BODY
    assert digest == DIGEST
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Success


def test_a_file_appears_with_its_content_and_digest(server, tmp_path, capsys):
    succeeds(server.add("/file", Route(BODY)), tmp_path)
    assert server.requests[0][1]["Accept-Encoding"] == "identity"
    # Bars are for terminals.
    assert capsys.readouterr().err == ""


def test_progress_is_a_bar_on_a_terminal(server, tmp_path, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    succeeds(server.add("/file", Route(BODY)), tmp_path)
    assert "256k/256k" in screen.getvalue().split("\r")[-1]


def test_without_content_length_the_file_ends_with_the_connection(server, tmp_path):
    succeeds(server.add("/file", Route(BODY, headers={"Content-Length": None})), tmp_path)


def test_redirects_are_followed(server, tmp_path):
    server.add("/there", Route(BODY))
    address = server.add("/here", Route(statuses=[302], headers={"Location": "/there"}))
    succeeds(address, tmp_path)
    assert server.paths() == ["/here", "/there"]


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.address)
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    # Proxies get the whole address as path.
    server.add("http://models.invalid/file", Route(BODY))
    succeeds("http://models.invalid/file", tmp_path)


# Interruptions


def test_an_interrupted_transfer_starts_again(server, tmp_path):
    succeeds(server.add("/file", Route(BODY, cuts=[HALF, HALF])), tmp_path)
    assert server.ranges() == [None] * 3


def test_a_body_shorter_than_announced_is_refused(server, tmp_path):
    address = server.add("/file", Route(BODY, headers={"Content-Length": str(len(BODY) + 1)}))
    fails(address, tmp_path, r"the connection broke .*\(3 attempts\); try again")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_statuses_are_tried_again(server, tmp_path, status):
    address = server.add("/file", Route(BODY, statuses=[status, status]))
    succeeds(address, tmp_path)
    assert len(server.requests) == 3


def test_a_server_that_falls_silent_is_asked_again(server, tmp_path):
    address = server.add("/file", Route(BODY, cuts=[HALF], hangs=True))
    succeeds(address, tmp_path, limits=IMPATIENT)
    assert len(server.requests) == 2


# Failure


@pytest.mark.parametrize(
    ("route", "kind", "message"),
    [
        (Route(statuses=[404]), NotFoundError, "the server answers 404 Not Found"),
        (Route(statuses=[410]), NotFoundError, "the server answers 410 Gone"),
        (Route(statuses=[401]), DownloadError, "the server answers 401 Unauthorized"),
        (Route(statuses=[206]), DownloadError, "the server answers 206 Partial Content"),
        (Route(statuses=[799]), DownloadError, "the server answers 799$"),
        (
            Route(b"<html>log in", headers={"Content-Type": "text/html; charset=utf-8"}),
            DownloadError,
            "a web page instead of the file: check the address",
        ),
        (
            Route(statuses=[302] * 99, headers={"Location": "/file"}),
            DownloadError,
            "[Rr]edirects",
        ),
    ],
)
def test_some_answers_are_final(server, tmp_path, route, kind, message):
    error = fails(server.add("/file", route), tmp_path, message)
    assert type(error) is kind
    assert len(server.requests) == (1 if "direct" not in message else 21)


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": None}], ids=["announced", "not announced"]
)
def test_a_file_over_the_limit_is_refused(server, tmp_path, headers):
    address = server.add("/file", Route(BODY, headers=headers))
    limits = replace(LIMITS, max_bytes=len(BODY) - 1)
    message = f"larger than the {len(BODY) - 1} bytes allowed"
    fails(address, tmp_path, message, limits=limits)
    assert len(server.requests) == 1
    succeeds(address, tmp_path, limits=replace(LIMITS, max_bytes=len(BODY)))


def test_a_server_that_never_answers_is_given_up_at_once(server, tmp_path):
    address = server.add("/file", Route(silent=True))
    fails(address, tmp_path, "does not answer", limits=IMPATIENT)
    assert len(server.requests) == 1


def test_a_trickle_is_given_up(server, tmp_path):
    address = server.add("/file", Route(BODY, pause=0.02))
    limits = replace(LIMITS, stall_window_s=0.3, stall_bytes=1000)
    fails(address, tmp_path, r"stalled: \d+ bytes in 0 s", limits=limits)


def test_a_refused_connection_is_final(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    limits = replace(LIMITS, backoff_s=1000.0)
    fails(
        f"http://127.0.0.1:{port}/file", tmp_path, "refused.*: check .* the network", limits=limits
    )


@pytest.mark.parametrize("address", ["ftp://models.example/file", "file", "http://[::1/file"])
def test_other_addresses_are_refused(tmp_path, address):
    fails(address, tmp_path, "check the address")


def test_https_is_not_left(tmp_path, monkeypatch):
    asked = []

    def redirect(_transport, request):
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://elsewhere.example/file"})

    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", redirect)
    fails("https://models.example/file", tmp_path, "redirected from https to http")
    assert asked == ["https://models.example/file"]


def test_an_unusable_proxy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:1")
    fails("http://models.example/file", tmp_path, "the proxy settings")


def test_a_missing_directory_is_named(server, tmp_path):
    address = server.add("/file", Route(BODY))
    with pytest.raises(DownloadError, match=r"No such file.* and the space in .*missing"):
        download_file(address, tmp_path / "missing" / "file", limits=LIMITS)


def test_passwords_are_sent_but_not_shown(server, tmp_path):
    address = server.address.replace("//", "//me:secret@") + "/file"
    error = fails(address, tmp_path, "404")
    assert "secret" not in str(error)
    assert server.requests[0][1]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://a:b@host/x@y", "https://host/x@y"),
        ("https://a@b:c@host:80/x", "https://host:80/x"),
        ("https://host/x@y", "https://host/x@y"),
        ("https://host?a=b@c", "https://host?a=b@c"),
        ("nonsense", "nonsense"),
    ],
)
def test_redact_credentials(address, shown):
    assert redact_credentials(address) == shown
