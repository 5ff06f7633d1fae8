"""The contract in tensors, around a pipeline that the test plays."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline_failures import PIPELINE_FAILURES, PipelineFailure
from poses import people
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.hps.handler import (
    HpsHandler,
    HpsSettings,
    MalformedTensorError,
    PipelineError,
)
from tritonpose_server.service.urls.settings import UrlSettings

SETTINGS = HpsSettings(visualize=False, max_in_flight=1)
IMAGE = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
REQUEST = {"image": base64.b64encode(IMAGE).decode(), "logId": "mine"}

Estimate = Callable[[InferRequest], PoseResponse]


class Model:
    """The model with a pipeline that does what the test says."""

    def __init__(self, estimate: Estimate, settings: HpsSettings = SETTINGS) -> None:
        self.logged: list[str] = []
        self._hps = HpsHandler(settings, estimate, self.fetch, self.logged.append)

    def fetch(self, url: str) -> bytes:
        if url == "https://images.example/a.png":
            return IMAGE
        raise ServiceError(HTTPStatus.FORBIDDEN, f"not fetched: {url}")

    def call(self, document: object) -> Any:
        return json.loads(self._hps.answer(np.array([[json.dumps(document).encode()]], object)))

    def answer(self, tensor: Any) -> bytes:
        return self._hps.answer(tensor)


def failing(message: str) -> Estimate:
    def estimate(_request: InferRequest) -> PoseResponse:
        raise PipelineError(message)

    return estimate


def answering(persons: int) -> tuple[Estimate, list[InferRequest]]:
    """A pipeline that finds this many persons, and what it is asked."""
    seen: list[InferRequest] = []
    return lambda request: (seen.append(request), people(persons))[1], seen


def test_success() -> None:
    estimate, seen = answering(2)
    answer = Model(estimate).call({**REQUEST, "detThreshold": 0.25})
    assert (answer["logId"], answer["errorCode"], answer["errorMsg"]) == ("mine", 0, "Success")
    assert len(answer["result"]["persons"]) == 2
    assert "image" not in answer["result"]
    (request,) = seen
    assert (request.image, request.det_threshold) == (IMAGE, 0.25)
    assert request.request_id == "mine"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_json_in_any_encoding(encoding: str) -> None:
    """As PaddleX's model reads it."""
    estimate, seen = answering(1)
    element = json.dumps({**REQUEST, "name": "\u4eba"}, ensure_ascii=False).encode(encoding)
    answer = json.loads(Model(estimate).answer(np.array([[element]], object)))
    assert (answer["logId"], answer["errorCode"]) == ("mine", 0)
    assert seen[0].image == IMAGE


def test_image_at_a_url() -> None:
    estimate, seen = answering(1)
    answer = Model(estimate).call({"image": "https://images.example/a.png", "visualize": True})
    assert seen[0].image == IMAGE
    picture = np.frombuffer(base64.b64decode(answer["result"]["image"]), np.uint8)
    assert cv2.imdecode(picture, cv2.IMREAD_COLOR).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("default", "said", "drawn"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_picture(default: bool, said: bool | None, drawn: bool) -> None:
    settings = HpsSettings(visualize=default, max_in_flight=1)
    model = Model(lambda _: people(1), settings)
    result = model.call({**REQUEST, "visualize": said})["result"]
    assert ("image" in result) == drawn


@pytest.mark.parametrize(
    ("document", "code", "words"),
    [
        ({"logId": "mine"}, 422, "Field required"),
        ({"image": "@", "logId": "mine"}, 422, "not base64"),
        ({"image": "http://host/a.jpg", "logId": "mine"}, 403, "not fetched: http://host/a.jpg"),
    ],
)
def test_wrong_requests_never_reach_the_pipeline(document: object, code: int, words: str) -> None:
    model = Model(failing("was asked"))
    answer = model.call(document)
    assert (answer["logId"], answer["errorCode"]) == ("mine", code)
    assert words in answer["errorMsg"]
    assert "result" not in answer
    assert model.logged == []


@pytest.mark.parametrize(
    ("tensor", "field"),
    [("det_threshold", "detThreshold"), ("person_boxes", "personBoxes"), ("roi", "roi")],
)
def test_choices_that_the_pipeline_refuses(tensor: str, field: str) -> None:
    model = Model(failing(f"[invalid_request] `{tensor}` has 101 of them"))
    answer = model.call(REQUEST)
    assert answer["errorCode"] == 422
    (problem,) = json.loads(answer["errorMsg"])
    assert problem["loc"] == f"body.{field}"
    assert problem["msg"] == f"`{field}` has 101 of them"
    assert model.logged == []


def test_people_and_regions_reach_the_pipeline() -> None:
    estimate, seen = answering(2)
    boxes, corners = [[1, 2, 3, 4], [5, 6, 7, 8]], [[0, 0], [9, 0], [9, 9]]
    Model(estimate).call({**REQUEST, "personBoxes": boxes, "roi": corners})
    (request,) = seen
    assert (request.person_boxes.tolist(), request.roi.tolist()) == (boxes, corners)


@pytest.mark.parametrize("code", ["invalid_image", "damaged_image"])
def test_images_that_the_pipeline_refuses(code: str) -> None:
    model = Model(failing(f"[{code}] `image` begins like a PNG file"))
    answer = model.call(REQUEST)
    assert answer["errorCode"] == 422
    (problem,) = json.loads(answer["errorMsg"])
    assert problem["loc"] == "body.image"
    assert problem["msg"] == "`image` begins like a PNG file"
    assert model.logged == []


@pytest.mark.parametrize("failure", PIPELINE_FAILURES)
def test_failures_of_the_pipeline(failure: PipelineFailure) -> None:
    """Clients learn what those of REST learn, and the rest is for the log."""
    model = Model(failing(failure.message))
    told = {"logId": "mine", "errorCode": failure.code, "errorMsg": failure.told}
    assert model.call(REQUEST) == told
    # The pipeline's own log reports its refusals.
    refused = failure.reason == "triton_busy"
    assert model.logged == ([] if refused else [f"request mine failed: {failure.message}"])


def test_own_failures() -> None:
    def estimate(_request: InferRequest) -> PoseResponse:
        raise RuntimeError("secret")

    model = Model(estimate)
    answer = model.call(REQUEST)
    assert answer == {"logId": "mine", "errorCode": 500, "errorMsg": "Internal server error"}
    (entry,) = model.logged
    assert entry.startswith("request mine failed: Traceback")
    assert "RuntimeError: secret" in entry


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (np.array([b"{}"], object), r"shape \[1, 1\], got \[1\]"),
        (np.array([[b"{}", b"{}"]], object), r"got \[1, 2\]"),
        (np.empty((0, 1), object), r"got \[0, 1\]"),
        (np.array([[b"{"]], object), "JSON"),
        (np.array([[b'"\xff"']], object), "UTF-8"),
    ],
)
def test_tensors_that_are_no_request(tensor: Any, words: str) -> None:
    with pytest.raises(MalformedTensorError, match=words):
        Model(failing("was asked")).answer(tensor)


# Earlier versions had `workers`.
PARAMETERS = {"visualize": "true", "workers": "3", "max_in_flight": "7"}


def test_settings() -> None:
    assert HpsSettings.from_parameters(PARAMETERS) == HpsSettings(True, 7)
    assert not HpsSettings.from_parameters({**PARAMETERS, "visualize": "false"}).visualize
    urls = UrlSettings("https", ("a.example", "*.b.example"), (8443,), 1000, 2.5)
    assert HpsSettings.from_parameters(PARAMETERS | urls.parameters()).urls == urls


@pytest.mark.parametrize(
    ("key", "value"),
    [("visualize", "yes"), ("visualize", ""), ("max_in_flight", "0"), ("max_in_flight", "many")],
)
def test_settings_that_are_wrong(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"`{key}` must be .*, got '{value}'"):
        HpsSettings.from_parameters({**PARAMETERS, key: value})
