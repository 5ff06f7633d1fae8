"""The REST service without Triton: what needs none, and its answers where Triton is missing."""

from __future__ import annotations

import asyncio
import base64
import socket
import uuid
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from pipeline_failures import PIPELINE_FAILURES, PipelineFailure
from rest_service import NO_TRITON, rest_client, rest_service
from tritonpose import ConfigError
from tritonpose.transport.failures import error_from_status
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.service.contract.schema import ReadyResponse
from tritonpose_server.service.rest.app import create_app
from tritonpose_server.service.rest.settings import RestSettings

PATH = "/human-keypoint-detection"
IMAGE = base64.b64encode(b"\xff\xd8\xff an image").decode()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with rest_client(max_body_bytes=1000) as running:
        yield running


def body_of(response: Any, status: int) -> dict[str, Any]:
    """The body of an answer without a result, checked."""
    assert response.status_code == status
    body: dict[str, Any] = response.json()
    assert set(body) == {"logId", "errorCode", "errorMsg"}
    assert body["errorCode"] == (0 if status == 200 else status)
    assert response.headers["x-request-id"] == body["logId"]
    return body


def test_alive_but_not_ready(client: httpx.Client) -> None:
    alive = body_of(client.get("/health"), 200)
    assert alive["errorMsg"] == "Healthy"
    uuid.UUID(alive["logId"])
    response = client.get("/health/ready")
    assert "Triton is out of reach" in body_of(response, 503)["errorMsg"]
    assert response.headers["retry-after"] == "1"


def test_no_triton(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    response = client.post(PATH, json={"image": IMAGE, "logId": "mine"})
    body = body_of(response, 503)
    assert body["logId"] == "mine"
    assert response.headers["retry-after"] == "1"
    # Where it is and why it fails is for the log alone.
    assert "127.0.0.1:9" not in body["errorMsg"]
    assert "request_id=mine failed: ServerUnavailableError: grpc://127.0.0.1:9" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 200, None),
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/page/nothing.js", 404, "Not Found"),
        ("GET", "/page/../service.py", 404, "Not Found"),
        ("GET", "/page/%2e%2e/__init__.py", 404, "Not Found"),
        ("GET", PATH, 405, "Method Not Allowed"),
        ("PUT", "/health", 405, "Method Not Allowed"),
    ],
)
def test_paths(
    client: httpx.Client, method: str, path: str, status: int, words: str | None
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    if words:
        assert body_of(response, status)["errorMsg"] == words
    if status == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 422),
        ("application/json; charset=utf-8", 422),
        ("Application/JSON;charset=UTF-8", 422),
        ("application/vnd.api+json", 422),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonlines", 415),
        (None, 415),
    ],
)
def test_content_types(client: httpx.Client, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    message = body_of(client.post(PATH, content=b"{}", headers=headers), status)["errorMsg"]
    assert ("Content-Type: application/json" in message) == (status == 415)


@pytest.mark.parametrize("streamed", [False, True])
def test_size_of_the_body(client: httpx.Client, streamed: bool) -> None:
    def request(size: int) -> Any:
        content = b'"' + b"x" * (size - 2) + b'"'
        parts = iter([content[:500], content[500:]])
        headers = {"Content-Type": "application/json"}
        return client.post(PATH, content=parts if streamed else content, headers=headers)

    assert "model_attributes_type" in body_of(request(1000), 422)["errorMsg"]
    assert (
        "larger than the 0.001 MB accepted (max_body_bytes)"
        in body_of(request(1001), 413)["errorMsg"]
    )


def test_length_that_is_too_large_already(client: httpx.Client) -> None:
    connection = HTTPConnection(client.base_url.netloc.decode())
    headers = {"Content-Type": "application/json", "Content-Length": "1000000"}
    connection.request("POST", PATH, b"{", headers)
    assert connection.getresponse().status == 413
    connection.close()


def test_urls_are_off(client: httpx.Client) -> None:
    body = body_of(client.post(PATH, json={"image": "http://127.0.0.1/a.jpg"}), 403)
    assert "URLs are off" in body["errorMsg"]


@pytest.mark.parametrize(
    ("in_body", "in_header", "expected"),
    [
        ("mine", None, "mine"),
        ("mine", "other", "mine"),
        (None, "other", "other"),
        ("two words", "other", "other"),
        (None, "x" * 129, None),
    ],
)
def test_name_of_the_request(
    client: httpx.Client, in_body: str | None, in_header: str | None, expected: str | None
) -> None:
    headers = {} if in_header is None else {"X-Request-ID": in_header}
    document = {} if in_body is None else {"logId": in_body}
    log_id = body_of(client.post(PATH, json=document, headers=headers), 422)["logId"]
    if expected is None:
        uuid.UUID(log_id)
    else:
        assert log_id == expected


class FakeTransport:
    """A Triton that is ready and fails with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def infer(self, _request: InferRequest) -> PoseResponse:
        raise self._error

    async def is_ready(self, _timeout: float) -> bool:
        return True

    async def close(self) -> None:
        pass


def ask_app(app: FastAPI, path: str, document: dict[str, Any] | None = None) -> httpx.Response:
    """The answer of an application that no server runs."""

    async def ask() -> httpx.Response:
        door = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
            return await (client.post(path, json=document) if document else client.get(path))

    return asyncio.run(ask())


def app_with_failing_triton(error: Exception, **settings: Any) -> FastAPI:
    return create_app(RestSettings(NO_TRITON, **settings), transport=FakeTransport(error))


def test_no_room() -> None:
    with rest_client(max_in_flight=0) as client:
        response = client.post(PATH, json={"image": IMAGE})
        assert (
            "0 requests (max_in_flight) are already in flight" in body_of(response, 503)["errorMsg"]
        )
        assert response.headers["retry-after"] == "1"
        body_of(client.get("/health"), 200)


@pytest.mark.parametrize("failure", PIPELINE_FAILURES)
def test_refusals_of_the_pipeline_are_passed_on_and_faults_are_not(
    caplog: pytest.LogCaptureFixture, failure: PipelineFailure
) -> None:
    error = error_from_status(failure.status, "http://10.0.0.7:8000", failure.message)
    app = app_with_failing_triton(error)
    response = ask_app(app, PATH, {"image": IMAGE})
    assert body_of(response, failure.code)["errorMsg"] == failure.told
    assert response.headers.get("retry-after") == ("1" if failure.code == 503 else None)
    # The pipeline itself logs its refusals.
    assert ("10.0.0.7" in caplog.text) == (failure.reason != "triton_busy")
    assert f'rejections_total{{reason="{failure.reason}"}} 1.0' in ask_app(app, "/metrics").text


def test_readiness_shows_which_open_models_stand_in() -> None:
    app = app_with_failing_triton(RuntimeError())
    assert body_of(ask_app(app, "/health/ready"), 200)["errorMsg"] == "Ready"
    named = {"PP-YOLOE-S_human": "NanoDet-Plus-M_416"}
    app = app_with_failing_triton(RuntimeError(), stand_ins=named)
    answer = ask_app(app, "/health/ready").json()
    ReadyResponse.model_validate(answer)
    assert (answer["errorMsg"], answer["standIns"]) == ("Ready", named)
    body_of(ask_app(app, "/health"), 200)


def test_a_triton_that_does_not_serve_the_pipeline(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with rest_service(url) as address:
            message = body_of(httpx.get(f"{address}health/ready", timeout=10), 503)["errorMsg"]
    assert "is reached, but does not serve the pipeline" in message
    assert url not in message
    assert url in caplog.text


def test_wrong_address_of_triton() -> None:
    with pytest.raises(ConfigError, match="localhost"):
        create_app(RestSettings("localhost:8001"))
