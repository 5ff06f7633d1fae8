"""The engine in this process gives what Triton gives, to the last bit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import reference_data
from reference_data import Setting
from tritonpose import KeypointResult, create_async_pipeline, create_pipeline
from tritonpose.config import PipelineConfig
from tritonpose.errors import TritonPoseError
from tritonpose.tracking import TrackedResult
from tritonpose.transport import Transport, connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.local.engine import LocalEngine
from tritonpose_server.local.options import LocalOptions
from tritonpose_server.models.choice import ModelChoice
from twins import predict_all
from videos import panned

# One of each way through the pipeline.
DIFFERENT_SETTINGS = [
    setting
    for setting in reference_data.SETTINGS
    if setting.name in ("picodet192_tinypose128", "picodet320_tinypose256_flip")
    or setting.name.endswith(("128_udp", "_thr0.3"))
]

Infer = Callable[[InferRequest], PoseResponse]


@pytest.fixture(scope="module")
def local(installed_open_models: list[Path]) -> Iterator[Infer]:
    settings = PipelineSettings(*(model.name for model in installed_open_models))
    choice = ModelChoice(tuple(installed_open_models), settings)
    engine = LocalEngine(PipelineConfig(), LocalOptions("openvino"), 60, lambda *_, **__: choice)
    with closing(Transport([engine], 60, retries=0)) as transport:
        yield transport.infer


@pytest.fixture(scope="module")
def served(server: EmbeddedServer) -> Iterator[Infer]:
    """Over gRPC; that HTTP gives the same is tested elsewhere."""
    with closing(connect(server.grpc_url)) as transport:
        yield transport.infer


def assert_same(one: PoseResponse, other: PoseResponse) -> None:
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), name)


@reference_data.needed
@pytest.mark.parametrize("setting", DIFFERENT_SETTINGS, ids=lambda setting: setting.name)
def test_same_bits(
    setting: Setting, local: Infer, served: Infer, installed_paddle_models: dict[str, Path]
) -> None:
    people = 0
    for content in reference_data.golden(setting.name):
        image = reference_data.image(Path(content["input_path"]).name)
        request = InferRequest(
            image=image.read_bytes(),
            det_threshold=setting.threshold,
            detector=installed_paddle_models[setting.detector].name,
            keypoint_model=installed_paddle_models[setting.keypoint_model].name,
            flip=setting.flip,
            use_udp=setting.use_udp,
        )
        found = local(request)
        assert_same(found, served(request))
        people += len(found.boxes)
    assert people > 40


def test_same_bits_of_frames_and_given_boxes(local: Infer, served: Infer, photo: Path) -> None:
    frame = np.asarray(cv2.imread(str(photo)), np.uint8)
    boxes = np.array([[10, 20, 200, 300], [-50, -50, 90, 90]], np.float32)
    height, width = frame.shape[:2]
    left = np.array([[0, 0], [width / 2, 0], [width / 2, height], [0, height]], np.float32)
    counts = []
    for options in (
        {},
        {"roi": left},
        {"roi": left + np.float32([width / 2, 0])},
        {"person_boxes": boxes},
        {"person_boxes": boxes, "roi": left},
        {"person_boxes": boxes[:0]},
        {"det_threshold": 0.0},
        {"det_threshold": 1.0},
    ):
        request = InferRequest(frame=frame, **options)
        found = local(request)
        assert_same(found, served(request))
        counts.append(len(found.boxes))
    request = InferRequest(image=photo.read_bytes(), fast_decode=True)
    assert_same(local(request), served(request))
    assert len(local(request).boxes) == 2
    assert counts[1] + counts[2] == counts[0] == 2
    assert counts[3:6] == [2, 2, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": b""},
        {"image": b"no image"},
        {"image": b"\xff\xd8\xff\xe0" + bytes(100)},
        {"image": bytes(32_000_001)},
        {"frame": np.zeros((0, 5, 3), np.uint8)},
        {"frame": np.zeros((4, 4, 3), np.uint8), "det_threshold": 1.5},
        {"frame": np.zeros((4, 4, 3), np.uint8), "det_threshold": float("nan")},
        {"frame": np.zeros((4, 4, 3), np.uint8), "detector": "unknown"},
        {"frame": np.zeros((4, 4, 3), np.uint8), "keypoint_model": "../../etc"},
        {"frame": np.zeros((4, 4, 3), np.uint8), "person_boxes": np.ones((1, 4), np.float32)},
        {"frame": np.zeros((4, 4, 3), np.uint8), "person_boxes": np.ones((101, 4), np.float32)},
        {"frame": np.zeros((4, 4, 3), np.uint8), "roi": np.ones((3, 2), np.float32)},
        {"frame": np.zeros((4, 4, 3), np.uint8), "roi": np.ones((1001, 2), np.float32)},
    ],
)
def test_same_errors(wrong: dict, local: Infer, served: Infer) -> None:
    errors = []
    for infer in (local, served):
        with pytest.raises(TritonPoseError) as caught:
            infer(InferRequest(**wrong))
        errors.append((type(caught.value), caught.value.code, caught.value.detail))
    assert errors[0] == errors[1]


def test_pipelines_in_this_process_give_what_the_server_gives(
    expected: KeypointResult, photo: Path
) -> None:
    frames = [np.asarray(cv2.imread(str(photo)), np.uint8)] * 3
    for is_async in (False, True):
        found = predict_all(is_async, [photo, *frames], url="local:")
        assert [result.json["res"]["boxes"] for result in found] == [
            expected.json["res"]["boxes"]
        ] * 4


@pytest.mark.parametrize("choice", [{"det_interval": 1}, {"det_interval": 4}], ids=str)
def test_people_are_followed_alike_everywhere(
    choice: dict[str, Any], server: EmbeddedServer, photo: Path
) -> None:
    """With 1 and 16 requests in flight, over gRPC and HTTP, in this process, by both twins."""
    frames = panned(np.asarray(cv2.imread(str(photo)), np.uint8), 12)

    def content(result: TrackedResult) -> list[Any]:
        return [result.track_ids, result.timestamp, result.json["res"]["boxes"]]

    async def follow(url: str) -> list[list[Any]]:
        async with create_async_pipeline(
            "human_keypoint_detection", url=url, max_in_flight=16
        ) as pipeline:
            return [content(result) async for result in pipeline.track(frames, **choice)]

    found = [asyncio.run(follow(server.grpc_url))]
    for url, limit in ((server.grpc_url, 1), (server.http_url, 16), ("local:", 1), ("local:", 16)):
        with create_pipeline("human_keypoint_detection", url=url, max_in_flight=limit) as pipeline:
            found.append([content(result) for result in pipeline.track(frames, **choice)])
    assert all(1 in ids for ids, _, _ in found[0])
    assert all(other == found[0] for other in found[1:])


def test_workers_that_start_at_once_convert_once(photo: Path, tmp_path: Path) -> None:
    """In processes of their own, with an empty store."""
    program = (
        "import sys; from tritonpose import create_pipeline; "
        "print(len(next(iter(create_pipeline('human_keypoint_detection', url='local:')"
        ".predict(sys.argv[1])))['boxes']))"
    )
    command = [sys.executable, "-c", program, str(photo)]
    workers = [
        subprocess.Popen(
            command,
            env={**os.environ, "TRITONPOSE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = [worker.communicate(timeout=240) for worker in workers]
    assert [output for output, _ in outputs] == ["2\n"] * 3, outputs
    converted = [errors for _, errors in outputs if "converting" in errors]
    assert len(converted) == 1
