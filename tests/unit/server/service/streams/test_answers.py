"""What the service answers on a WebSocket on which people are followed."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from certificates import make_certificates
from file_server import FileServer, Route
from leftovers import wait_until
from otlp_receiver import otlp_receiver
from pretended_triton import INFER
from rest_service import rest_service
from streams import IMAGE, PATH, closed, metric, problem, stream, told


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


def test_a_scene_that_begins_with_an_empty_image(address: str) -> None:
    with stream(address) as opened:
        for said, image, status in (
            ({"time": 9}, IMAGE, 0),
            ({"time": 1, "reset": True}, b"", 422),
            ({"time": 2}, IMAGE, 0),
        ):
            opened.send(json.dumps(said))
            opened.send(image)
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
