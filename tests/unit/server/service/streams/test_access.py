"""Who may open a WebSocket, and how."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from connections import connection
from file_server import FileServer
from rest_service import rest_service
from streams import IMAGE, PATH, closed, problem, stream, told, upgrade

KEY = "the-key-0123456789"


@pytest.fixture(scope="module")
def locked(triton: FileServer) -> Iterator[str]:
    with rest_service(triton.address, api_keys=(KEY,)) as running:
        yield running


@pytest.mark.parametrize(
    ("first", "headers"),
    [
        ({"key": KEY}, {}),
        ({}, {"X-API-Key": KEY}),
        ({}, {"Authorization": f"Bearer {KEY}"}),
    ],
)
def test_a_key_comes_by_message_or_header(
    locked: str, first: dict[str, str], headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with stream(locked, first, additional_headers=headers) as opened:
        opened.send(IMAGE)
        assert told(opened)["errorCode"] == 0
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ({}, "an API key is needed"),
        ({"key": "x" * 20}, "is not valid"),
        ({"key": "\ud800"}, "is not valid"),
    ],
)
def test_the_first_message_needs_the_key(locked: str, first: dict[str, str], words: str) -> None:
    with stream(locked, first, ready=False) as opened:
        with suppress(ConnectionClosed):
            opened.send(IMAGE)
        assert words in problem(opened, 401)
        assert closed(opened)[0] == 4401


def test_a_wrong_key_in_a_header(locked: str) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        stream(locked, {"key": KEY}, additional_headers={"X-API-Key": "x" * 20}),
    ):
        pass
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["errorMsg"] == "the API key is not valid"


def test_a_key_in_the_address_is_none(locked: str) -> None:
    url = f"{locked.replace('http', 'ws', 1)}{PATH}?key={KEY}"
    with connect(url, proxy=None) as opened:
        opened.send("{}")
        assert "an API key is needed" in problem(opened, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"},
    ],
)
def test_pages_of_other_sites_are_refused(address: str, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as caught, stream(address, additional_headers=headers):
        pass
    assert caught.value.response.status_code == 403
    message = json.loads(caught.value.response.body)["errorMsg"]
    assert "pages of other sites may not open WebSockets" in message


def test_pages_of_origins_that_are_named_are_not(triton: FileServer, address: str) -> None:
    own = address.rstrip("/")
    with stream(address, additional_headers={"Origin": own}) as opened:
        opened.send(IMAGE)
        assert told(opened)["errorCode"] == 0
    named = "https://app.example"
    with rest_service(triton.address, cors_origins=(named,)) as running:
        headers = {"Origin": named, "Sec-Fetch-Site": "cross-site"}
        with stream(running, additional_headers=headers) as opened:
            opened.send(IMAGE)
            assert told(opened)["errorCode"] == 0


def test_names_of_others_are_refused(address: str) -> None:
    with connection(address) as opened:
        opened.sendall(upgrade(host="evil.example"))
        assert opened.recv(4096).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "without", ["Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "nothing"]
)
def test_what_is_no_request_for_a_websocket_is_told(address: str, without: str) -> None:
    with connection(address) as opened:
        opened.sendall(
            upgrade(without=without) if without != "nothing" else upgrade().replace(b"GET", b"POST")
        )
        first = opened.recv(65536).splitlines()[0]
    assert first.startswith(b"HTTP/1.1 405 " if without == "nothing" else b"HTTP/1.1 426 ")


def test_a_get_request_is_told_how(address: str) -> None:
    for path in (PATH, f"{PATH}/"):
        response = httpx.get(f"{address}{path}")
        assert response.status_code == 426
        assert response.headers["upgrade"] == "websocket"
        assert "this address is for WebSockets" in response.json()["errorMsg"]


def test_other_addresses_have_none(address: str) -> None:
    url = f"{address.replace('http', 'ws', 1)}health"
    with pytest.raises(InvalidStatus) as caught:
        connect(url, proxy=None)
    assert caught.value.response.status_code == 200
