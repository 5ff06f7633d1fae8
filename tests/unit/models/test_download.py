"""Downloading one file, from a real server on this machine."""

import hashlib
import os
import socket
from dataclasses import replace

import httpx
import pytest

from file_server import Route, file_server
from tritonpose_server.models.fetch import download as download_module
from tritonpose_server.models.fetch.download import (
    DownloadError,
    DownloadLimits,
    NotFoundError,
    download_file,
    public_address,
)

BODY = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()
ETAG = {"ETag": '"v1"'}
MODIFIED = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
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
    assert str(caught.value).startswith(public_address(address) + ": ")
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


def test_a_file_appears_with_its_content_and_digest(server, tmp_path):
    seen = []
    address = server.add("/file", Route(BODY))
    succeeds(address, tmp_path, progress=lambda *at: seen.append(at))
    assert seen[-1] == (len(BODY), len(BODY))
    assert sorted(seen) == seen
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_without_content_length_the_total_is_unknown(server, tmp_path):
    seen = []
    address = server.add("/file", Route(BODY, headers={"Content-Length": None}))
    succeeds(address, tmp_path, progress=lambda *at: seen.append(at))
    assert seen[-1] == (len(BODY), None)


def test_an_existing_file_is_replaced_with_the_usual_permissions(server, tmp_path):
    (tmp_path / "file").write_bytes(b"the old file")
    (tmp_path / "file").chmod(0o600)
    previous = os.umask(0o022)
    try:
        succeeds(server.add("/file", Route(BODY)), tmp_path)
    finally:
        os.umask(previous)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_the_name_is_free_until_the_file_is_whole(server, tmp_path):
    seen = []

    def look(_done, _total):
        seen.append((tmp_path / "file").exists())

    succeeds(server.add("/file", Route(BODY)), tmp_path, progress=look)
    assert set(seen) == {False}


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


@pytest.mark.parametrize(
    ("route", "ranges"),
    [
        (Route(headers=ETAG), [None, f"bytes={HALF}-"]),
        (Route(headers=MODIFIED), [None, f"bytes={HALF}-"]),
        (Route(headers={"ETag": 'W/"v1"', **MODIFIED}), [None, f"bytes={HALF}-"]),
        (Route(headers={"ETag": 'W/"v1"'}), [None, None]),
        (Route(), [None, None]),
        (Route(headers=ETAG, ranges=False), [None, f"bytes={HALF}-"]),
        (Route(headers=ETAG, range_status=416), [None, f"bytes={HALF}-", None]),
        (Route(headers=ETAG, content_range="bytes 0-9/10"), [None, f"bytes={HALF}-", None]),
        (Route(headers=ETAG, content_range="nonsense"), [None, f"bytes={HALF}-", None]),
    ],
    ids=[
        "etag",
        "last-modified",
        "weak etag but last-modified",
        "only weak etag",
        "no validator",
        "no ranges",
        "range refused",
        "another range",
        "no range said",
    ],
)
def test_an_interrupted_transfer_is_completed(server, tmp_path, route, ranges):
    address = server.add("/file", replace(route, body=BODY, cuts=[HALF]))
    succeeds(address, tmp_path)
    assert server.ranges() == ranges


def test_each_interruption_is_resumed_where_it_happened(server, tmp_path):
    address = server.add("/file", Route(BODY, headers=ETAG, cuts=[1000, 500]))
    succeeds(address, tmp_path)
    assert server.ranges() == [None, "bytes=1000-", "bytes=1500-"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    route = Route(b"x" * len(BODY), headers={"ETag": '"v0"'}, cuts=[HALF])
    address = server.add("/file", route)

    def change(_done, _total):
        route.body, route.headers = BODY, ETAG

    succeeds(address, tmp_path, progress=change)
    assert server.requests[1][1]["If-Range"] == '"v0"'


def test_a_short_range_is_not_taken_for_the_end(server, tmp_path):
    said = f"bytes {HALF}-{len(BODY) - 1}/{len(BODY) + 9}"
    route = Route(BODY, headers=ETAG, cuts=[HALF], content_range=said)
    address = server.add("/file", route)
    message = f"incomplete .{len(BODY)} of {len(BODY) + 9} bytes"
    fails(address, tmp_path, message, limits=replace(LIMITS, attempts=2))


def test_a_body_shorter_than_announced_is_refused(server, tmp_path):
    address = server.add("/file", Route(BODY, headers={"Content-Length": str(len(BODY) + 1)}))
    fails(address, tmp_path, r"the connection broke .*\(given up after 3 attempts\); try again")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_statuses_are_tried_again(server, tmp_path, status):
    address = server.add("/file", Route(BODY, statuses=[status, status]))
    succeeds(address, tmp_path)
    assert len(server.requests) == 3


def test_a_server_that_falls_silent_is_asked_again(server, tmp_path):
    address = server.add("/file", Route(BODY, headers=ETAG, cuts=[HALF], hangs=True))
    succeeds(address, tmp_path, limits=IMPATIENT)
    assert server.ranges() == [None, f"bytes={HALF}-"]


class Clock:
    """Stands for the module ``time``: nobody waits."""

    def __init__(self):
        self.now = 0.0
        self.waits = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(download_module, "time", clock)
    return clock


def test_waits_grow(server, tmp_path, clock):
    address = server.add("/file", Route(statuses=[500] * 9))
    fails(address, tmp_path, "500 Internal Server Error", limits=replace(LIMITS, attempts=4))
    assert clock.waits == [0.01, 0.02, 0.04]


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
            Route(BODY, headers={"Content-Encoding": "gzip"}),
            DownloadError,
            "insists on Content-Encoding gzip",
        ),
        (
            Route(statuses=[302] * 99, headers={"Location": "/file"}),
            DownloadError,
            "redirects without end",
        ),
    ],
)
def test_some_answers_are_final(server, tmp_path, route, kind, message):
    error = fails(server.add("/file", route), tmp_path, message)
    assert type(error) is kind
    assert len(server.requests) == (1 if "end" not in message else 21)


@pytest.mark.parametrize(
    ("headers", "received"),
    [({}, False), ({"Content-Length": None}, True)],
    ids=["announced", "not announced"],
)
def test_a_file_over_the_limit_is_refused(server, tmp_path, headers, received):
    seen = []
    address = server.add("/file", Route(BODY, headers=headers))
    limits = replace(LIMITS, max_bytes=len(BODY) - 1)
    message = f"larger than the {len(BODY) - 1} bytes allowed"
    fails(address, tmp_path, message, limits=limits, progress=lambda *at: seen.append(at))
    assert bool(seen) is received
    assert len(server.requests) == 1
    succeeds(address, tmp_path, limits=replace(LIMITS, max_bytes=len(BODY)))


def test_a_server_that_never_answers_is_given_up_at_once(server, tmp_path):
    address = server.add("/file", Route(silent=True))
    fails(address, tmp_path, "does not answer", limits=IMPATIENT)
    assert len(server.requests) == 1


def test_a_trickle_is_given_up(server, tmp_path):
    address = server.add("/file", Route(BODY, headers=ETAG, pause=0.02))
    limits = replace(LIMITS, stall_window_s=0.3, stall_bytes=1000)
    fails(address, tmp_path, r"stalled: \d+ bytes in 0 s; try again later", limits=limits)


@pytest.mark.parametrize(("stall_bytes", "enough"), [(4, True), (5, False)])
def test_each_span_of_time_needs_its_bytes(server, tmp_path, clock, stall_bytes, enough):
    # Two bytes arrive in each second, one by one.
    address = server.add("/file", Route(b"0123456789", headers=ETAG, cuts=[1] * 9))
    limits = DownloadLimits(attempts=99, backoff_s=0, stall_window_s=2.0, stall_bytes=stall_bytes)

    def advance(done, _total):
        clock.now = done / 2

    if enough:
        download_file(address, tmp_path / "file", limits=limits, progress=advance)
        assert (tmp_path / "file").read_bytes() == b"0123456789"
    else:
        fails(address, tmp_path, "stalled: 4 bytes in 2 s", limits=limits, progress=advance)


def test_interruptions_without_end_are_a_stall(server, tmp_path):
    address = server.add("/file", Route(BODY, headers=ETAG, cuts=[1] * 99))
    limits = replace(LIMITS, stall_window_s=0.1, attempts=99, backoff_s=0.05, stall_bytes=99)
    fails(address, tmp_path, "stalled", limits=limits)


def test_waits_count_as_time_without_bytes(server, tmp_path, clock):
    address = server.add("/file", Route(statuses=[503] * 9))
    limits = replace(LIMITS, attempts=9, backoff_s=10.0, stall_window_s=25.0)
    fails(address, tmp_path, "stalled: 0 bytes in 30 s", limits=limits)
    assert clock.waits == [10, 20]


def test_a_refused_connection_is_final(tmp_path, clock):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    message = r"can't be reached \(.*refused.*\): check the network and the proxy"
    fails(f"http://127.0.0.1:{port}/file", tmp_path, message)
    assert clock.waits == []


@pytest.mark.parametrize("address", ["ftp://models.example/file", "file", "http://[::1/file"])
def test_other_addresses_are_refused(tmp_path, address):
    fails(address, tmp_path, "is not an address to download from")


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
    fails("http://models.example/file", tmp_path, "check the proxy settings")


def test_a_missing_directory_is_named(server, tmp_path):
    address = server.add("/file", Route(BODY))
    with pytest.raises(DownloadError, match=r"can't write .*missing/file.*is there space"):
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
def test_public_address(address, shown):
    assert public_address(address) == shown
