"""Fetching from hosts on this machine that stand for public ones, honest and otherwise."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import cv2
import numpy as np
import pytest

from certificates import Certificates, make_certificates
from pretended_network import Answer, PretendedNetwork, host
from tritonpose_server.service.contract.failures import BusyError, ServiceError
from tritonpose_server.service.rest.limits import BodyMemory
from tritonpose_server.service.urls.fetching import ImageFetcher
from tritonpose_server.service.urls.settings import UrlSettings

PUBLIC = "93.184.215.14"
ZEROS = gzip.compress(bytes(10_000_000))
IMAGE = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()


def answering(status: str, *headers: str, body: bytes = b"") -> Answer:
    async def answer(_head: str, writer: asyncio.StreamWriter) -> None:
        lines = "".join(f"{line}\r\n" for line in headers)
        writer.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)

    return answer


@contextmanager
def fetching(answer: Answer, **settings: object) -> Iterator[tuple[ImageFetcher, PretendedNetwork]]:
    """A fetcher for which ``http://public.example`` answers so."""
    with host(answer) as port:
        names = {"public.example": [[PUBLIC]], "inside.example": [["127.0.0.1"]]}
        network = PretendedNetwork(names, {(PUBLIC, 80): port})
        options = UrlSettings("http", **settings)
        yield ImageFetcher(options, resolve=network.resolve, network=network), network


def fetch(answer: Answer, **settings: object) -> bytes:
    with fetching(answer, **settings) as (fetcher, _):
        return asyncio.run(fetcher.fetch("http://public.example/a.png"))


def failure(answer: Answer, **settings: object) -> tuple[int, str]:
    with pytest.raises(ServiceError) as caught:
        fetch(answer, **settings)
    return caught.value.status.value, caught.value.message


def test_a_file() -> None:
    heads = []

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await answering("200 OK", f"Content-Length: {len(IMAGE)}", body=IMAGE)(head, writer)

    assert fetch(answer) == IMAGE
    request, *headers = heads[0].lower().split("\r\n")
    assert request == "get /a.png http/1.1"
    assert {"host: public.example", "accept-encoding: identity"} <= set(headers)
    assert not any(line.startswith(("authorization", "cookie")) for line in headers)


def test_a_file_in_chunks_and_without_a_length() -> None:
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(IMAGE), IMAGE)
    assert fetch(answering("200 OK", "Transfer-Encoding: chunked", body=chunked)) == IMAGE
    assert fetch(answering("200 OK", body=IMAGE)) == IMAGE
    # What is beyond the length is not read.
    assert fetch(answering("200 OK", f"Content-Length: {len(IMAGE)}", body=IMAGE + b"x")) == IMAGE


def test_memory_is_asked_for_all_that_comes() -> None:
    memory = BodyMemory(100_000)
    with fetching(answering("200 OK", body=bytes(200_000))) as (fetcher, _), memory.share() as take:
        with pytest.raises(ServiceError, match="all bodies") as caught:
            asyncio.run(fetcher.fetch("http://public.example/a.png", take))
        assert caught.value.status == 413
        with memory.share() as other, pytest.raises(BusyError):
            other(100_000)


def test_the_environment_names_no_proxy_or_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine public.example login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    heads = []

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await answering("200 OK", body=IMAGE)(head, writer)

    with fetching(answer) as (fetcher, network):
        assert asyncio.run(fetcher.fetch("http://public.example/")) == IMAGE
        assert network.connected == [(PUBLIC, 80)]
    assert "uthorization" not in heads[0]


# --- encryption ---


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), "public.example")


@pytest.mark.parametrize("trusted", [True, False])
def test_over_tls(certificates: Certificates, trusted: bool) -> None:
    files = str(certificates.server_cert), str(certificates.server_key)
    with host(answering("200 OK", body=IMAGE), files) as port:
        names = {"public.example": [[PUBLIC]], "other.example": [[PUBLIC]]}
        network = PretendedNetwork(names, {(PUBLIC, 443): port})

        def trust() -> ssl.SSLContext:
            return ssl.create_default_context(cafile=certificates.ca if trusted else None)

        fetcher = ImageFetcher(
            UrlSettings("https"), resolve=network.resolve, network=network, trust=trust
        )
        if trusted:
            assert asyncio.run(fetcher.fetch("https://public.example/a.png")) == IMAGE
        # The certificate must be the name's, not the address's.
        with pytest.raises(ServiceError, match="certificate verify failed") as caught:
            asyncio.run(fetcher.fetch(f"https://{'other' if trusted else 'public'}.example/"))
        assert caught.value.status == HTTPStatus.BAD_GATEWAY
        assert set(network.connected) == {(PUBLIC, 443)}


# --- redirects ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    asked, places = [], ["b.png", "//public.example/c.png", "http://public.example:80/d"]

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        asked.append(head.split()[1])
        if len(asked) <= 3:
            place = places[len(asked) - 1]
            await answering(f"{status} Moved", f"Location: {place}")(head, writer)
        else:
            await answering("200 OK", body=IMAGE)(head, writer)

    with fetching(answer) as (fetcher, network):
        assert asyncio.run(fetcher.fetch("http://public.example/x/a.png")) == IMAGE
        assert len(network.resolved) == 4
    assert asked == ["/x/a.png", "/x/b.png", "/c.png", "/d"]


@pytest.mark.parametrize(
    ("place", "status", "words"),
    [
        ("file:///etc/passwd", 403, "in the URL that it redirects to, its scheme is 'file'"),
        ("ftp://public.example/a", 403, "its scheme is 'ftp'"),
        ("http://inside.example/", 403, "its host has an address that is not public"),
        ("http://127.1/", 403, "its host is a number"),
        ("http://public.example:22/", 403, "port 22 is not allowed"),
        ("//user:secret@public.example/", 403, "user name or password"),
        ("https://public.example/", 502, "nobody is there"),
        ("http://unknown.example/", 502, "can't be resolved"),
        ("http://[", 502, "redirects to something that is not a URL"),
    ],
)
def test_redirects_are_judged_like_urls(place: str, status: int, words: str) -> None:
    with fetching(answering("302 Found", f"Location: {place}")) as (fetcher, network):
        with pytest.raises(ServiceError, match=words) as caught:
            asyncio.run(fetcher.fetch("http://public.example/"))
        assert caught.value.status == status
        assert "secret" not in caught.value.message
        # Nothing but the public host was connected.
        assert {address for address, _ in network.connected} == {PUBLIC}
        assert all(port in (80, 443) for _, port in network.connected)


# --- what hosts do ---


async def endless(_head: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(bytes(65536))
        await writer.drain()


async def dripping(_head: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"\xff")
        await asyncio.sleep(0.02)


async def dripping_headers(_head: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.02)


async def informing(_head: str, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.02)


def one_byte_chunks(count: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n\xff\r\n" * count


async def tiny_chunks(_head: str, writer: asyncio.StreamWriter) -> None:
    writer.write(one_byte_chunks(200_000))


async def many_hints(_head: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100_000)


async def silent(_head: str, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (endless, 413, "larger than the 0.1 MB accepted (url_max_bytes)"),
        (answering("200 OK", "Content-Length: 100001"), 413, "larger than the 0.1 MB"),
        (answering("200 OK", "Content-Length: " + "9" * 19), 413, "larger than the 0.1 MB"),
        (answering("200 OK", "Content-Length: 500", body=IMAGE[:60]), 502, "no valid answer"),
        (answering("200 OK", "Content-Length: -1"), 502, "no valid answer"),
        (answering("200 OK", "Content-Length: 1", "Content-Length: 2"), 502, "no valid answer"),
        (answering("200 OK", "Transfer-Encoding: chunked", body=b"zz\r\n"), 502, "no valid answer"),
        (answering("200 OK", f"X: {'y' * 200_000}"), 502, "no valid answer"),
        (answering("OK"), 502, "no valid answer"),
        (answering("200 OK", "Content-Encoding: gzip", body=ZEROS), 502, "compressed"),
        (answering("404 Not Found", body=b"no"), 502, "answered with status 404"),
        (answering("206 Partial Content", body=IMAGE), 502, "status 206"),
        (answering("302 Found", "Location: /again"), 502, "redirects more than 3 times"),
        (answering("302 Found"), 502, ""),
        (dripping, 504, "did not send the image within 0.3 s"),
        (dripping_headers, 504, "within 0.3 s"),
        (informing, 504, "within 0.3 s"),
        (silent, 504, "within 0.3 s (url_timeout)"),
        (tiny_chunks, 413, "larger than the 0.1 MB"),
        (many_hints, 502, "its headers do not end"),
        (answering("101 Switching Protocols", "Upgrade: x", "Connection: upgrade"), 502, ""),
        (answering("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello"), 502, "too early"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_hosts_that_misbehave(answer: Answer, status: int, words: str) -> None:
    told = failure(answer, max_bytes=100_000, timeout=0.3)
    assert told[0] == status
    assert words in told[1]


def test_other_work_goes_on_beside_a_host_that_sends_tiny_pieces() -> None:
    """A parser in Python keeps the event loop to itself for each packet of them."""
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def answer(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(one_byte_chunks(500_000) + b"0\r\n\r\n")

    async def run() -> None:
        ticking = asyncio.ensure_future(tick())
        with pytest.raises(ServiceError, match="does not lead to"):
            await fetcher.fetch("http://public.example/")
        ticking.cancel()

    with fetching(answer, timeout=30.0) as (fetcher, _):
        asyncio.run(run())
    # At least once for each 64 KB.
    assert turns > 3_000_000 / 65_536


@pytest.mark.parametrize("body", [b"", b"root:x:0:0:secret", b"<html>secret", b"GIF89a secret"])
def test_what_is_no_image_is_not_told(body: bytes) -> None:
    status, message = failure(answering("200 OK", body=body))
    assert status == 422
    (problem,) = json.loads(message)
    assert problem["msg"] == "the URL does not lead to a JPEG, PNG, WebP or BMP file"


def test_name_servers_that_are_silent() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(30)
        return []

    fetcher = ImageFetcher(UrlSettings("https", timeout=0.1), resolve=resolve)
    with pytest.raises(ServiceError) as caught:
        asyncio.run(fetcher.fetch("https://public.example/"))
    assert (caught.value.status, caught.value.reason) == (HTTPStatus.GATEWAY_TIMEOUT, "url_host")
