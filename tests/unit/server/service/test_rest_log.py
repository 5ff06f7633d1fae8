"""What the REST service counts and writes to its log."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator

import httpx
import pytest

from leftovers import wait_until
from rest_service import NO_TRITON, rest_client
from tritonpose_server.service.rest.observation import ACCESS

PATH = "/human-keypoint-detection"
IMAGE = base64.b64encode(b"\xff\xd8\xff an image").decode()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with rest_client() as running:
        yield running


def test_metrics(client: httpx.Client) -> None:
    # Each service counts for itself.
    client.post(PATH, json={})
    with rest_client() as client:
        for document in ({}, {}, {"image": IMAGE}):
            client.post(PATH, json=document)
        client.get("/nowhere")
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    numbers = dict(re.findall(r"^(\w[^ ]*) ([\d.e+-]+)$", response.text, re.M))
    assert numbers['tritonpose_rest_requests_total{status="422"}'] == "2.0"
    assert numbers['tritonpose_rest_requests_total{status="503"}'] == "1.0"
    assert numbers['tritonpose_rest_rejections_total{reason="invalid"}'] == "2.0"
    assert numbers['tritonpose_rest_rejections_total{reason="triton_unavailable"}'] == "1.0"
    assert numbers["tritonpose_rest_request_seconds_count"] == "3.0"
    assert numbers['tritonpose_rest_stage_seconds_count{stage="read"}'] == "3.0"
    assert numbers['tritonpose_rest_stage_seconds_count{stage="triton"}'] == "1.0"
    assert numbers["tritonpose_rest_requests_in_flight"] == "0.0"
    assert numbers["tritonpose_rest_persons_total"] == "0.0"


def test_log(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS.name)
    assert client.post(PATH, json={"image": "@" + IMAGE, "logId": "mine"}).status_code == 422
    client.get("/health")
    client.get("/health/ready")
    client.get("/metrics")
    client.get("/no%0Awhere")

    def lines() -> list[str]:
        return [entry.getMessage() for entry in caplog.records if entry.name == ACCESS.name]

    # Written once the answer is on its way.
    assert wait_until(lambda: len(lines()) == 2)
    assert re.fullmatch(
        r"request_id=mine client=127.0.0.1 method=POST "
        r'path="/human-keypoint-detection" status=422 received=\d+ sent=\d+ ms=\d+\.\d',
        lines()[0],
    )
    assert r'path="/no\nwhere" status=404' in lines()[1]
    assert IMAGE not in caplog.text


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        ((), "8.8.8.8", "client=127.0.0.1 "),
        (("10.0.0.0/8",), "8.8.8.8", "client=127.0.0.1 "),
        (("127.0.0.0/8",), "8.8.8.8", "client=8.8.8.8 "),
        (("127.0.0.1",), "9.9.9.9, 8.8.8.8", "client=8.8.8.8 "),
        (("127.0.0.1",), 'a status=200 x="b"', r'client="a status=200 x=\"b\"" '),
    ],
    ids=str,
)
def test_clients_that_a_proxy_names(
    proxies: tuple[str, ...],
    forwarded: str,
    expected: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anybody can send that header."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    caplog.set_level(logging.INFO, ACCESS.name)
    with rest_client(trusted_proxies=proxies) as client:
        client.get("/nowhere", headers={"X-Forwarded-For": forwarded})
        assert wait_until(lambda: expected in caplog.text)


def test_the_log_says_that_triton_is_out_of_reach(caplog: pytest.LogCaptureFixture) -> None:
    """As soon as the service starts, and once."""
    said = f"no connection to it can be made ({NO_TRITON})"
    with rest_client() as client:
        assert wait_until(lambda: said in caplog.text)
        for _ in range(3):
            client.get("/health/ready")
    assert caplog.text.count(said) == 1
