"""Bodies of answers: PaddleX's names, exact numbers, the picture as PaddleX encodes it."""

from __future__ import annotations

import base64
import io
import json
import uuid
from dataclasses import replace
from http import HTTPStatus

import cv2
import numpy as np
import pytest

from poses import people
from tritonpose.result import KeypointResult
from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_server.service.contract.answers import error_body, notice_body, success_body
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.requests import KeypointRequest
from tritonpose_server.service.contract.schema import InferResponse, NoResultResponse, choose_log_id


@pytest.fixture
def image() -> bytes:
    noise = np.random.default_rng(5).integers(0, 256, (240, 320, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def asked(*, visualize: bool) -> KeypointRequest:
    return KeypointRequest(b"", None, visualize=visualize, log_id=None)


@pytest.mark.parametrize(("count", "truncated"), [(0, False), (1, False), (3, True)])
def test_persons(count: int, truncated: bool) -> None:
    poses = replace(people(count), truncated=truncated)
    answer = json.loads(success_body(asked(visualize=False), b"not looked at", poses, "name"))
    assert answer == {
        "logId": "name",
        "result": {
            "persons": [
                {
                    "bbox": [float(x) for x in poses.boxes[index]],
                    "kpts": [[float(x) for x in point] for point in poses.keypoints[index]],
                    "detScore": float(poses.det_scores[index]),
                    "kptScore": float(poses.kpt_scores[index]),
                }
                for index in range(count)
            ],
            **({"truncated": True} if truncated else {}),
        },
        "errorCode": 0,
        "errorMsg": "Success",
    }
    InferResponse.model_validate(answer, strict=False)


def test_picture_is_what_the_client_draws(image: bytes) -> None:
    poses = people(2)
    answer = json.loads(success_body(asked(visualize=True), image, poses, "name"))
    expected = io.BytesIO()
    KeypointResult(None, image, poses).img["res"].save(expected, format="JPEG")
    assert base64.b64decode(answer["result"]["image"], validate=True) == expected.getvalue()
    plain = json.loads(success_body(asked(visualize=True), image, people(0), "name"))
    assert plain["result"]["image"] != answer["result"]["image"]


def test_other_keypoints(image: bytes) -> None:
    """What the answer says of them is what the picture shows."""
    schema = KeypointSchema(tuple("abcde"), ((0, 4),), ((255, 0, 0),), flip_pairs=((1, 2),))
    keypoints = np.array([[[20 * x, 30 + 10 * x, 0.9] for x in range(1, 6)]], np.float32)
    poses = replace(people(1), keypoints=keypoints, keypoint_schema=schema)
    answer = json.loads(success_body(asked(visualize=True), image, poses, "name"))
    told = answer["result"]["keypointSchema"]
    assert KeypointSchema.from_mapping(told, "") == schema
    assert len(answer["result"]["persons"][0]["kpts"]) == 5
    InferResponse.model_validate(answer, strict=False)
    expected = io.BytesIO()
    KeypointResult(None, image, poses).img["res"].save(expected, format="JPEG")
    assert base64.b64decode(answer["result"]["image"]) == expected.getvalue()
    # Without a word about them there are no limbs.
    points = replace(poses, keypoint_schema=None)
    unknown = json.loads(success_body(asked(visualize=True), image, points, "name"))
    assert "keypointSchema" not in unknown["result"]
    assert unknown["result"]["image"] != answer["result"]["image"]


def test_bodies_without_a_result() -> None:
    error = ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, 'say "später"')
    answer = json.loads(error_body(error, "name"))
    assert answer == {"logId": "name", "errorCode": 503, "errorMsg": 'say "später"'}
    NoResultResponse.model_validate(answer)
    notice = {"logId": "name", "errorCode": 0, "errorMsg": "Healthy"}
    assert json.loads(notice_body("Healthy", "name")) == notice


def test_first_usable_name_is_taken_and_new_ones_are_uuids() -> None:
    assert choose_log_id(None, "a b", "second", "third") == "second"
    names = {choose_log_id(), choose_log_id(None), choose_log_id("\n")}
    assert len(names) == 3
    assert {uuid.UUID(name).version for name in names} == {4}
