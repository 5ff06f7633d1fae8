"""WebSockets on which people are followed: a real service in front of a pretended Triton."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from certificates import make_certificates
from file_server import FileServer, Route
from leftovers import wait_until
from otlp_receiver import otlp_receiver
from poses import people
from pretended_triton import INFER, answer, output, pretended_triton
from rest_service import rest_service
from tritonpose.transport.messages import PoseResponse
from tritonpose_server.service.rest.follower import Follower

PATH = "human-keypoint-detection/track"
KEY = "the-key-0123456789"
# Triton is a pretended one: nobody decodes it.
IMAGE = b"\xff\xd8\xff an image"
NO_TRITON = "grpc://127.0.0.1:9"

LIMITS = {
    "header_timeout": 0.4,
    "receive_timeout": 0.3,
    "keep_alive_timeout": 1.0,
    "send_timeout": 0.4,
    "max_header_bytes": 2000,
    "max_frame_bytes": 100_000,
    "max_streams": 3,
}


@pytest.fixture(scope="module")
def triton() -> Iterator[FileServer]:
    """Two people, both of them sure, in every image."""
    found = answer(2, det_scores=output("det_scores", np.float32([0.9, 0.8])))
    with pretended_triton(found) as running:
        yield running.http


@pytest.fixture(scope="module")
def address(triton: FileServer) -> Iterator[str]:
    with rest_service(triton.address) as running:
        yield running


@pytest.fixture(scope="module")
def limited(triton: FileServer) -> Iterator[str]:
    with rest_service(triton.address, **LIMITS) as running:
        yield running


@contextmanager
def stream(
    address: str, first: object = None, *, ready: bool = True, **options: Any
) -> Iterator[ClientConnection]:
    """A stream whose first message is sent, and answered where the service is ``ready`` for it."""
    url = f"{address.replace('http', 'ws', 1)}{PATH}"
    with connect(url, proxy=None, **options) as opened:
        opened.send(json.dumps(first or {}))
        if ready:
            assert told(opened)["errorMsg"] == "Ready"
        yield opened


def told(opened: ClientConnection) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(opened.recv(10))
    return document


def problem(opened: ClientConnection, status: int) -> str:
    """The message of a failure."""
    document = told(opened)
    assert document["errorCode"] == status
    message: str = document["errorMsg"]
    return message


def closed(opened: ClientConnection) -> tuple[int, str]:
    """Code and reason of the connection's end, before which nothing comes."""
    with pytest.raises(ConnectionClosed) as caught:
        opened.recv(10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def metric(address: str, name: str) -> float:
    lines = httpx.get(f"{address}metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[-1])


def test_people_keep_their_ids(address: str) -> None:
    before = metric(address, 'tritonpose_rest_frames_total{status="200"}')
    with stream(address, {"logId": "mine"}) as opened:
        assert metric(address, "tritonpose_rest_streams ") >= 1
        ids = []
        for number in range(4):
            opened.send(json.dumps({"time": number / 10}))
            opened.send(IMAGE)
            document = told(opened)
            assert document["logId"] == f"mine-{number}"
            assert (document["errorCode"], document["errorMsg"]) == (0, "Success")
            result = document["result"]
            assert (result["frame"], result["time"]) == (number, number / 10)
            assert set(result["persons"][0]) == {"trackId", "bbox", "kpts", "detScore", "kptScore"}
            ids.append([person["trackId"] for person in result["persons"]])
        assert ids[-1] == ids[-2] == [1, 2]
        opened.send('{"reset": true, "time": 0}')
        opened.send(IMAGE)
        assert told(opened)["result"]["time"] == 0
    assert metric(address, 'tritonpose_rest_frames_total{status="200"}') == before + 5
    assert wait_until(lambda: metric(address, "tritonpose_rest_streams ") == 0)


def test_time_is_that_of_the_arrival_by_default(address: str) -> None:
    with stream(address) as opened:
        times = []
        for _ in range(3):
            opened.send(IMAGE)
            times.append(told(opened)["result"]["time"])
        assert 0 <= times[0] < times[1] < times[2]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("{", "JSON decode error"),
        ("[]", "valid dictionary"),
        ('{"detThreshold": 2}', "less than or equal to 1"),
        ('{"time": NaN}', "finite number"),
        ('{"detInterval": 0}', "detInterval"),
        ('{"smooth": 7}', "message.smooth"),
        ('{"roi": [[1, 2]]}', "roi"),
        ('{"image": "QUJD"}', "send images as messages of their own"),
        (b"", "the image file is empty"),
    ],
)
def test_what_is_wrong_is_told_and_the_next_image_is_taken(
    address: str, message: str | bytes, words: str
) -> None:
    with stream(address) as opened:
        opened.send(message)
        assert words in problem(opened, 422)
        opened.send(IMAGE)
        assert told(opened)["errorCode"] == 0


def test_times_that_do_not_fit(address: str) -> None:
    with stream(address) as opened:
        for seconds, status in ((1.0, 0), (1.0, 422), (0.5, 422), (None, 422), (1.5, 0)):
            if seconds is not None:
                opened.send(json.dumps({"time": seconds}))
            opened.send(IMAGE)
            assert told(opened)["errorCode"] == status


def test_an_image_that_the_pipeline_refuses(triton: FileServer, address: str) -> None:
    usual = triton.routes[INFER]
    body = json.dumps({"error": "[invalid_image] the image is 1x1"}).encode()
    with stream(address) as opened:
        triton.add(INFER, Route(body, status=400))
        try:
            opened.send(IMAGE)
            assert "the image is 1x1" in problem(opened, 422)
        finally:
            triton.add(INFER, usual)
        opened.send(IMAGE)
        assert told(opened)["errorCode"] == 0


def test_ids_stay_while_the_inference_server_is_away(
    triton: FileServer, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    usual = triton.routes[INFER]
    with stream(address) as opened:
        for seconds in (0.0, 0.1):
            opened.send(json.dumps({"time": seconds}))
            opened.send(IMAGE)
            before = told(opened)["result"]
        triton.add(INFER, Route(status=503))
        try:
            for seconds in (0.2, 0.3, 0.4):
                opened.send(json.dumps({"time": seconds}))
                opened.send(IMAGE)
                assert "try again later" in problem(opened, 503)
        finally:
            triton.add(INFER, usual)
        # Far longer than people are waited for.
        opened.send('{"time": 100}')
        opened.send(IMAGE)
        after = told(opened)["result"]
    assert after["time"] == 100
    ids = [[person["trackId"] for person in each["persons"]] for each in (before, after)]
    assert ids == [[1, 2], [1, 2]]
    # Once, not for each of the images.
    assert caplog.text.count("ServerUnavailableError") == 1


def test_the_newest_image_comes_first(triton: FileServer, address: str) -> None:
    usual = triton.routes[INFER]
    slow = Route(usual.body, headers=usual.headers, pause=0.5 / len(usual.body))
    triton.add(INFER, slow)
    try:
        with stream(address) as opened:
            for _ in range(5):
                opened.send(IMAGE)
            answers = [told(opened) for _ in range(5)]
    finally:
        triton.add(INFER, usual)
    dropped = [each["frame"] for each in answers if each["errorCode"] == 503]
    answered = [each["result"]["frame"] for each in answers if each["errorCode"] == 0]
    assert all("two at most" in each["errorMsg"] for each in answers if each["errorCode"])
    assert answered[-1] == 4
    assert sorted(dropped + answered) == list(range(5))
    assert len(dropped) >= 2


def test_a_client_that_hangs_up_is_cancelled(triton: FileServer, address: str) -> None:
    usual = triton.routes[INFER]
    triton.add(INFER, Route(silent=True))
    try:
        with stream(address) as opened:
            opened.send(IMAGE)
            in_flight = "tritonpose_rest_requests_in_flight "
            assert wait_until(lambda: metric(address, in_flight) == 1)
        assert wait_until(lambda: metric(address, in_flight) == 0)
    finally:
        triton.add(INFER, usual)


# --- keys, origins, hosts ---


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
    ("first", "words"), [({}, "an API key is needed"), ({"key": "x" * 20}, "is not valid")]
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
    parts = urlsplit(address)
    request = upgrade(host="evil.example")
    with socket.create_connection((parts.hostname, parts.port), 10) as opened:
        opened.sendall(request)
        assert opened.recv(4096).startswith(b"HTTP/1.1 403 ")


# --- limits ---


def upgrade(host: str = "localhost", *further: str, without: str = "") -> bytes:
    lines = [
        f"GET /{PATH} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *further,
    ]
    kept = [line for line in lines if not without or not line.startswith(without)]
    return "\r\n".join([*kept, "", ""]).encode()


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """A frame as clients send it, with a mask of zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return bytes([(0x80 if last else 0) | opcode]) + length + bytes(4) + payload


@contextmanager
def raw(address: str) -> Iterator[socket.socket]:
    """A connection that has become a WebSocket, for frames of any kind."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), 10) as opened:
        opened.sendall(upgrade())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += opened.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield opened


def rest_of(opened: socket.socket) -> bytes:
    """What comes until the end, which the client then agrees to."""
    data = b""
    with suppress(ConnectionError):
        while part := opened.recv(65536):
            data += part
            if b"\x88" in data:
                opened.shutdown(socket.SHUT_WR)
    return data


@pytest.mark.parametrize(
    "without", ["Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "nothing"]
)
def test_what_is_no_request_for_a_websocket_is_told(address: str, without: str) -> None:
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), 10) as opened:
        opened.sendall(
            upgrade(without=without)
            if without != "nothing"
            else upgrade().replace(b"GET", b"POST") + b""
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


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (frame(2, IMAGE), 4422, b"the first message must be a text"),
        (frame(1, b"\xff"), 1007, b"not UTF-8"),
        (frame(1, b"x" * 9000), 1009, b"larger than 2000 bytes"),
        (frame(1, b"{}") + frame(3, b""), 1002, b""),
        (frame(1, b"{}") + frame(0, b"x"), 1002, b""),
        (b"\x82\x01x", 1002, b""),
        (b"GET / HTTP/1.1\r\n\r\n", 1002, b""),
        (frame(1, b"{}") + b"\x82\xfe\xff\xff" * 2, 0, b""),
        (frame(1, b"{}") + b"\x82\xff" + struct.pack("!Q", 2**62) + bytes(4), 1009, b"100000"),
        (frame(1, b"{}") + frame(2, b"", last=False) + frame(0, b"", last=False) * 5000, 1008, b""),
        (frame(1, b"{}") + frame(9, b"") * 5000, 1008, b"too many small frames"),
    ],
)
def test_mistakes_end_the_connection(limited: str, data: bytes, code: int, words: bytes) -> None:
    with raw(limited) as opened:
        with suppress(ConnectionError):
            opened.sendall(data)
        rest = rest_of(opened)
    assert words in rest
    if code:
        assert struct.pack("!H", code) in rest
    assert httpx.get(f"{limited}health").status_code == 200


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ([b""], 4408, b"the first message did not arrive within 0.4 s"),
        ([b"\x81"], 1008, b"did not arrive within 0.3 s"),
        ([frame(1, b"{}")], 4408, b"no message came within 1 s"),
        ([frame(1, b"{}"), frame(2, b"x" * 200)[:50]], 1008, b"did not arrive within 0.3 s"),
        ([frame(1, b"{}"), frame(2, b"x", last=False)], 1008, b"did not arrive within 0.3 s"),
    ],
)
def test_silent_clients_are_closed(
    limited: str, parts: list[bytes], code: int, words: bytes
) -> None:
    with raw(limited) as opened:
        for part in parts:
            opened.sendall(part)
            time.sleep(0.05)
        rest = rest_of(opened)
    assert words in rest
    assert struct.pack("!H", code) in rest


def test_a_client_that_reads_nothing_is_cut() -> None:
    # Answers of 100 kB.
    with (
        pretended_triton(answer(100)) as many,
        rest_service(many.http.address, send_timeout=0.3) as running,
        socket.socket() as opened,
    ):
        parts = urlsplit(running)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.settimeout(10)
        opened.connect((parts.hostname, parts.port))
        opened.sendall(upgrade() + frame(1, b"{}"))
        send_until_cut(opened, frame(2, IMAGE))
        assert wait_until(lambda: metric(running, "tritonpose_rest_streams ") == 0)


def send_until_cut(opened: socket.socket, data: bytes) -> None:
    ended = time.monotonic() + 20
    with suppress(ConnectionError):
        while time.monotonic() < ended:
            opened.sendall(data)
            time.sleep(0.002)
        raise AssertionError("it was never cut")


def test_streams_beyond_the_limit(limited: str) -> None:
    with stream(limited) as one, stream(limited) as two, stream(limited) as three:
        for opened in (one, two, three):
            opened.send(IMAGE)
            assert told(opened)["errorCode"] == 0
        with stream(limited, ready=False) as opened:
            assert "3 connections that follow people" in problem(opened, 503)
            assert closed(opened)[0] == 4503
    assert wait_until(lambda: metric(limited, "tritonpose_rest_streams ") == 0)
    with stream(limited) as opened:
        opened.send(IMAGE)
        assert told(opened)["errorCode"] == 0


def test_websockets_count_as_connections(triton: FileServer) -> None:
    with rest_service(triton.address, max_connections=2) as running:
        with stream(running), stream(running):
            assert httpx.get(f"{running}health").status_code == 503
        assert wait_until(lambda: httpx.get(f"{running}health").status_code == 200)


def test_a_service_that_stops_says_so(triton: FileServer) -> None:
    ending: list[tuple[int, str]] = []
    with ExitStack() as clients:
        with rest_service(triton.address, shutdown_timeout=2) as running:
            opened = clients.enter_context(stream(running))
            opened.send(IMAGE)
            assert told(opened)["errorCode"] == 0
            listening = threading.Thread(target=lambda: ending.append(closed(opened)))
            listening.start()
        listening.join()
    assert ending == [(1012, "the service is shutting down")]


def test_the_line_of_the_log(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tritonpose.access")
    with stream(address, {"logId": "counted"}) as opened:
        for _ in range(2):
            opened.send(IMAGE)
            told(opened)

    def line() -> str:
        return next((text for text in caplog.messages if "request_id=counted" in text), "")

    assert wait_until(lambda: bool(line()))
    assert f'path="/{PATH}" status=101' in line()
    assert "frames=2 dropped=0" in line()


# --- where the detector looks ---


def photo(gray: int) -> bytes:
    image = np.full((480, 640, 3), gray, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def standing() -> PoseResponse:
    """Somebody in the middle of the image, seen clearly."""
    found = people(1)
    across, down = np.meshgrid(np.linspace(260, 380, 3), np.linspace(120, 360, 6))
    points = np.stack([across.ravel()[:17], down.ravel()[:17]], axis=1)
    keypoints = np.concatenate([points, np.full((17, 1), 0.9)], axis=1)[None]
    return replace(
        found,
        boxes=np.float32([[240, 100, 400, 380]]),
        det_scores=np.float32([0.9]),
        keypoints=keypoints.astype(np.float32),
        kpt_scores=np.float32([0.9]),
    )


async def looked(
    follower: Follower, images: list[bytes], failing: tuple[int, ...] = ()
) -> list[bool]:
    """Whether the detector was asked to look in each of the images."""
    asked = []
    for number, image in enumerate(images):
        request = await follower.request(image, "name")
        asked.append(request.person_boxes is None)
        if number in failing:
            follower.fail()
            continue
        result = follower.take(standing(), number / 30)
        assert result.track_ids == (1,)
    return asked


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


def test_the_detector_looks_now_and_then() -> None:
    asked = asyncio.run(looked(Follower(at_once), [photo(90)] * 40))
    assert asked[0]
    assert 3 <= sum(asked) <= 12


def test_the_detector_looks_as_often_as_is_said() -> None:
    follower = Follower(at_once)
    follower.change({"detInterval": 4})
    assert asyncio.run(looked(follower, [photo(90)] * 9)) == [True, *[False] * 3] * 2 + [True]
    follower = Follower(at_once)
    follower.change({"detInterval": 1})
    assert all(asyncio.run(looked(follower, [photo(90)] * 5)))


def test_the_detector_looks_after_a_failure_and_in_another_scene() -> None:
    follower = Follower(at_once)
    follower.change({"detInterval": 8})
    asked = asyncio.run(looked(follower, [photo(90)] * 4, failing=(1,)))
    assert asked == [True, False, True, False]
    follower = Follower(at_once)
    follower.change({"detInterval": 8})
    asked = asyncio.run(looked(follower, [photo(10)] * 3 + [photo(240)] * 3))
    assert asked == [True, False, False, True, False, False]


def test_the_detector_looks_in_each_image_that_is_no_jpeg() -> None:
    image = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    assert all(asyncio.run(looked(Follower(at_once), [image] * 4)))


def test_the_threshold_is_that_of_who_is_shown() -> None:
    follower = Follower(at_once)
    follower.change({"detThreshold": 0.95, "smooth": False, "detInterval": 1})
    asyncio.run(follower.request(photo(90), "name"))
    assert not follower.take(standing(), 0.0).track_ids
    follower.change({"detThreshold": 0.05})
    request = asyncio.run(follower.request(photo(90), "name"))
    assert request.det_threshold == 0.05


def test_encrypted_streams(triton: FileServer, tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    keys = {"cert_file": str(files.server_cert), "key_file": str(files.server_key)}
    trusted = ssl.create_default_context(cafile=files.ca)
    with (
        rest_service(triton.address, trust=files.ca, **keys) as running,
        stream(running, ssl=trusted) as opened,
    ):
        opened.send(IMAGE + bytes(1_000_000))
        assert told(opened)["errorCode"] == 0
        opened.send("{")
        assert "JSON decode error" in problem(opened, 422)


def test_each_image_begins_a_trace(triton: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        with rest_service(triton.address) as running, stream(running) as opened:
            for _ in range(2):
                opened.send(IMAGE)
                told(opened)
        frames = [span for span in receiver.spans() if span.name == "frame"]
        assert len({span.trace for span in frames}) == 2
        for span in frames:
            assert not span.parent
            parts = {each.name for each in receiver.spans(span.trace) if each.parent == span.id}
            assert parts == {"read", "triton", "write"}
