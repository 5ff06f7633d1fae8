"""Downloading one file, from a real server on this machine."""

import hashlib
import sys
from dataclasses import replace

import httpx
import pytest

from file_server import Route
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


@pytest.mark.parametrize(
    ("route", "requests"),
    [
        (Route(headers={"Content-Length": None}), 1),
        (Route(statuses=[302], headers={"Location": "/file?"}), 2),
        # A transfer that is interrupted, or falls silent, starts again.
        (Route(cuts=[HALF, HALF]), 3),
        (Route(cuts=[HALF], hangs=True), 2),
        *((Route(statuses=[status] * 2), 3) for status in (408, 425, 429, 500, 502, 503, 504)),
    ],
)
def test_ways_to_the_file(server, tmp_path, route, requests):
    server.add("/file?", Route(BODY))
    succeeds(server.add("/file", replace(route, body=BODY)), tmp_path, limits=IMPATIENT)
    assert [headers["Range"] for _, headers in server.requests] == [None] * requests


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, server.address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Proxies get the whole address as path.
    server.add("http://models.invalid/file", Route(BODY))
    succeeds("http://models.invalid/file", tmp_path)


# Failure


PAGE = Route(b"<html>log in", headers={"Content-Type": "text/html; charset=utf-8"})
SHORT = Route(BODY, headers={"Content-Length": str(len(BODY) + 1)})


@pytest.mark.parametrize(
    ("route", "message", "requests"),
    [
        (Route(statuses=[404]), "the server answers 404 Not Found", 1),
        (Route(statuses=[410]), "the server answers 410 Gone", 1),
        (Route(statuses=[401]), "the server answers 401 Unauthorized", 1),
        (Route(statuses=[206]), "the server answers 206 Partial Content", 1),
        (Route(statuses=[799]), "the server answers 799$", 1),
        (PAGE, "a web page instead of the file: check the address", 1),
        (Route(statuses=[302] * 99, headers={"Location": "/file"}), "edirects", 21),
        (SHORT, r"the connection broke .*\(3 attempts\); try again", 3),
        (Route(silent=True), "does not answer", 1),
        (Route(BODY, pause=0.02), r"stalled: \d+ bytes in 0 s", 1),
    ],
)
def test_answers_that_are_no_file(server, tmp_path, route, message, requests):
    limits = replace(IMPATIENT, stall_window_s=0.25, stall_bytes=1000)
    error = fails(server.add("/file", route), tmp_path, message, limits=limits)
    assert type(error) is (NotFoundError if message.endswith(("Found", "Gone")) else DownloadError)
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": None}], ids=["announced", "not announced"]
)
def test_a_file_over_the_limit_is_refused(server, tmp_path, headers):
    address = server.add("/file", Route(BODY, headers=headers))
    limits = replace(LIMITS, max_bytes=len(BODY) - 1)
    fails(address, tmp_path, f"larger than the {len(BODY) - 1} bytes allowed", limits=limits)
    assert len(server.requests) == 1
    succeeds(address, tmp_path, limits=replace(LIMITS, max_bytes=len(BODY)))


@pytest.mark.parametrize(
    ("address", "proxy", "message"),
    [
        # Port 9 of this machine refuses connections, which is final.
        ("http://127.0.0.1:9/file", "", "refused.*: check .* the network"),
        ("ftp://models.example/file", "", "check the address"),
        ("file", "", "check the address"),
        ("http://[::1/file", "", "check the address"),
        ("http://models.example/file", "nonsense://127.0.0.1:1", "the proxy settings"),
    ],
)
def test_addresses_that_can_not_be_asked(tmp_path, monkeypatch, address, proxy, message):
    monkeypatch.setenv("ALL_PROXY", proxy)
    fails(address, tmp_path, message, limits=replace(LIMITS, backoff_s=1000.0))


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
