"""What servers of any kind answer: an error of ours, in time, and no secret in it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from file_server import Route, file_server
from pretended_triton import INFER, Output, answer, output, pretended_triton, text
from tritonpose import ConfigError, HumanKeypointPipeline, ServerError, TritonPoseError
from tritonpose.config import PipelineConfig
from tritonpose.transport import connect
from tritonpose.transport.failures import make_error
from tritonpose_pipeline.keypoint_schema import KeypointSchema
from twins import predict_all

IMAGE = np.zeros((4, 6, 3), np.uint8)
KEY = "s3cr3t-k3y"
BOXES = output("boxes", np.zeros((2, 4), np.float32))


def values(value: float) -> Output:
    return output("boxes", np.full((2, 4), value, np.float32))


HOSTILE: dict[str, list[Output]] = {
    "nothing": [],
    "missing": answer(kpt_scores=None),
    "another rank": answer(boxes=output("boxes", np.zeros(8, np.float32))),
    "no rank": answer(boxes=Output("boxes", "FP32", (), bytes(4))),
    "another dtype": answer(boxes=replace(BOXES, datatype="BOOL", data=bytes(8))),
    "text": answer(boxes=replace(BOXES, datatype="BYTES", data=b"\xff" * 32)),
    "an unknown dtype": answer(boxes=replace(BOXES, datatype="FP7")),
    "too few bytes": answer(boxes=replace(BOXES, data=bytes(31))),
    "too many bytes": answer(boxes=replace(BOXES, data=bytes(36))),
    "a negative shape": answer(boxes=replace(BOXES, shape=(-1, 4))),
    "two negative sides": answer(boxes=replace(BOXES, shape=(-2, -4))),
    "a huge shape": answer(boxes=replace(BOXES, shape=(2**62, 4))),
    "a huge empty shape": answer(boxes=replace(BOXES, shape=(2**62, 0), data=b"")),
    "lengths that disagree": answer(det_scores=output("det_scores", np.zeros(3, np.float32))),
    "not a number": answer(boxes=values(np.nan)),
    "infinite": answer(boxes=values(-np.inf)),
    "absurd": answer(boxes=values(1e30)),
    "infinite scores": answer(det_scores=output("det_scores", np.full(2, np.inf, np.float32))),
    "twice": [*answer(), BOXES],
    "a huge number of keypoints": answer(
        0, keypoints=Output("keypoints", "FP32", (0, 2**40, 3), b"")
    ),
    "a crowd": answer(10_001),
    "keypoints without names": answer(keypoint_schema=text("keypoint_schema", b"{}")),
    "other keypoints": answer(keypoint_schema=text("keypoint_schema", b'{"preset": "mpii16"}')),
    "names that are no text": answer(keypoint_schema=text("keypoint_schema", b"\xff")),
    "names in names": answer(keypoint_schema=text("keypoint_schema", b"[" * 100_000)),
    "a text that is cut short": answer(
        keypoint_schema=Output("keypoint_schema", "BYTES", (1,), b"\xff\xff\0\0{}")
    ),
    "texts without end": answer(
        keypoint_schema=Output("keypoint_schema", "BYTES", (1,), bytes(4_000_000))
    ),
    "no names": answer(keypoint_schema=output("keypoint_schema", np.ones(2, np.float32))),
    "two truncated": answer(truncated=output("truncated", np.ones(2, bool))),
}


@pytest.mark.parametrize("outputs", HOSTILE.values(), ids=HOSTILE.keys())
def test_answers_that_do_not_fit(outputs: list[Output]) -> None:
    with pretended_triton(outputs) as triton:
        for url in triton.urls.values():
            with pytest.raises(ServerError, match=r"its answer can't be read \(") as caught:
                predict_all(False, IMAGE, url=url, retries=0)
            assert url in str(caught.value)


@pytest.mark.parametrize("joints", [1, 5, 133])
def test_any_number_of_keypoints(joints: int) -> None:
    """With the server's words about them, or without."""
    points = output("keypoints", np.full((2, joints, 3), 7, np.float32))
    names = [f"關節 {index}" for index in range(joints)]
    told = text("keypoint_schema", json.dumps({"names": names, "flip_pairs": []}).encode())
    for schema, first in ((told, "關節 0"), (None, "keypoint_0"), (text("_", b""), "keypoint_0")):
        with pretended_triton(answer(keypoints=points, keypoint_schema=schema)) as triton:
            for url in triton.urls.values():
                (found,) = predict_all(False, IMAGE, url=url)
                assert [box["keypoints"].shape for box in found["boxes"]] == [(joints, 3)] * 2
                assert found.keypoint_schema.names[0] == first
                assert found.arrays.keypoints.shape == (2, joints, 3)
                assert found.render().size == (6, 4)


def test_the_pipeline_file_comes_before_the_server() -> None:
    schema = KeypointSchema(tuple("abcde"), ((0, 1),))
    wrong = KeypointSchema(("a",))
    with pretended_triton(
        answer(keypoints=output("keypoints", np.zeros((2, 5, 3), np.float32)))
    ) as triton:
        transport = connect(triton.urls["grpc"])
        with HumanKeypointPipeline(transport, PipelineConfig(keypoints=schema)) as pipeline:
            (found,) = pipeline.predict(IMAGE)
            assert found.keypoint_schema == schema
        transport = connect(triton.urls["grpc"])
        with HumanKeypointPipeline(transport, PipelineConfig(keypoints=wrong)) as pipeline:
            (failed,) = pipeline.predict(IMAGE, on_error="collect")
        assert isinstance(failed.error, ConfigError)
        assert "the pipeline file are 1, but the server's model has 5" in str(failed.error)


@pytest.mark.parametrize("count", [0, 3])
def test_answers_that_fit(count: int) -> None:
    # Servers of the first versions lack `truncated`.
    with pretended_triton(answer(count, truncated=None)) as triton:
        for url in triton.urls.values():
            (found,) = predict_all(False, IMAGE, url=url)
            assert len(found["boxes"]) == count


def header(**instead: Any) -> bytes:
    tensor = {"name": "boxes", "datatype": "FP32", "shape": [0, 4], "data": [], **instead}
    return json.dumps({"outputs": [tensor]}).encode()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"[" * 100_000, None),
        (b'{"outputs": 3}', None),
        (b'{"outputs": [3]}', None),
        (b"[]", None),
        (b"\xff\xfe", None),
        (header(), "-3"),
        (header(), "999999"),
        (header(), "many"),
        (header(shape=["a"]), None),
        (header(shape=None), None),
        (header(data={"a": 1}), None),
        (header(parameters={"binary_data_size": -4}), None),
        (header(parameters={"binary_data_size": 2**70}), None),
        (header(parameters={"binary_data_size": "4"}), None),
        (header(parameters=3), None),
        (header(datatype=[]), None),
        (header(name={}), None),
        (gzip.compress(bytes(2**20)), None),
        (bytes(65 * 2**20), None),
    ],
)
def test_http_answers_that_are_none_of_tritons(
    body: bytes, length: str | None, asynchronous: bool
) -> None:
    headers = {"Inference-Header-Content-Length": length, "Content-Encoding": "gzip"}
    with file_server() as server:
        server.add(INFER, Route(body, headers=headers))
        with pytest.raises(ServerError, match="its answer can't be read"):
            predict_all(asynchronous, IMAGE, url=server.address, retries=0)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 500, 503])
def test_a_server_that_repeats_the_request_gives_no_key_away(status: int) -> None:
    echo = json.dumps({"error": f"you sent authorization: Bearer {KEY} \x1b[31m"}).encode()
    with file_server() as server:
        server.add(INFER, Route(echo, status=status))
        with pytest.raises(TritonPoseError) as caught:
            predict_all(False, IMAGE, url=server.address, retries=0, api_key=KEY)
    error = caught.value
    for words in (str(error), repr(error), str(error.detail), repr(vars(error))):
        assert KEY not in words
        assert "\x1b" not in words


def test_a_long_text_is_cut() -> None:
    assert len(str(make_error(ServerError, "http://pose:8000", "x" * 10**6))) < 2000
