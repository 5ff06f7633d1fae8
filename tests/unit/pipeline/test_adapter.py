"""The Triton model around the pipeline: what it accepts, refuses, calls and answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

import triton_stand_in
from composing_models import DETECTOR_PARAMETERS, KEYPOINT_PARAMETERS, config_text, write_config
from leftovers import wait_until
from triton_stand_in import ModelCall, Request, Triton, TritonError, is_admitted
from tritonpose_server.embedded import resources

ADAPTER = resources.model_repository() / "human_keypoint_detection" / "1" / "model.py"
PNG = cv2.imencode(".png", np.full((64, 96, 3), 90, np.uint8))[1].tobytes()

Start = Callable[..., Any]


def find_two(call: ModelCall) -> dict[str, np.ndarray]:
    """Find the same two people in every image."""
    assert call.inputs[0].as_numpy().shape == (1, 32, 48, 3)
    boxes = np.array([[[2, 2, 20, 30], [24, 4, 46, 30]]], np.float32)
    return {"boxes": boxes, "scores": np.array([[0.9, 0.8]], np.float32)}


def estimate(call: ModelCall) -> dict[str, np.ndarray]:
    crops = call.inputs[0].as_numpy()
    heatmaps = np.zeros((len(crops), 17, 16, 12), np.float32)
    heatmaps[:, :, 8, 6] = 0.5
    return {"heatmap": heatmaps}


@pytest.fixture
def triton() -> Triton:
    return Triton(models={"small": find_two, "pose": estimate}, ready={"small", "pose"})


@pytest.fixture
def adapter(triton: Triton, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    triton_stand_in.install(monkeypatch, triton)
    # As the stub does, which finds the pipeline beside the file; here it is installed.
    return triton_stand_in.load_module(ADAPTER)


@pytest.fixture
def start(adapter: ModuleType, tmp_path: Path) -> Iterator[Start]:
    """Make an initialized model with some parameters."""
    write_config(tmp_path, "small", config_text(DETECTOR_PARAMETERS, (32, 48, 3)))
    write_config(tmp_path, "pose", config_text(KEYPOINT_PARAMETERS, (64, 48, 3)))
    (tmp_path / "human_keypoint_detection").mkdir()
    models = []

    def make(**parameters: str) -> Any:
        every = {"detector": "small", "keypoint_model": "pose", **parameters}
        config = {"parameters": {key: {"string_value": text} for key, text in every.items()}}
        model = adapter.TritonPythonModel()
        model.initialize(
            {
                "model_config": json.dumps(config),
                "model_repository": str(tmp_path / "human_keypoint_detection"),
                "model_version": "1",
            }
        )
        models.append(model)
        return model

    yield make
    for model in models:
        model.finalize()


def request(**parts: Any) -> Request:
    """A request of an image, unless the test gives another input."""
    return Request(**{"image": np.frombuffer(PNG, np.uint8), **parts})


def answered(model: Any, *requests: Request) -> None:
    model.execute(requests)
    assert wait_until(lambda: all(each.sender.sent for each in requests), 10)


def counters(model: Any) -> dict[tuple[str, str], float]:
    """Count requests by outcome and reason."""
    prefix = "tritonpose_pipeline_"
    return {
        (name.removeprefix(prefix).removesuffix("_total"), label): count
        for (name, label, _), count in model._counts.take()[0].items()
        if name.endswith("_total")
    }


def test_an_image_is_answered(start: Start, triton: Triton) -> None:
    asked = request(request_id="mine")
    answered(start(), asked)
    outputs = asked.sender.outputs()
    assert {name: array.shape for name, array in outputs.items()} == {
        "boxes": (2, 4),
        "det_scores": (2,),
        "keypoints": (2, 17, 3),
        "kpt_scores": (2,),
        "truncated": (1,),
        "keypoint_schema": (1,),
    }
    np.testing.assert_allclose(outputs["boxes"][0], [4, 4, 40, 60])
    assert [call.model_name for call in triton.calls] == ["small", "pose"]
    assert triton.log == []


def test_a_frame_with_given_boxes_needs_no_detector(start: Start, triton: Triton) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    asked = Request(frame=frame, person_boxes=np.array([[10, 10, 40, 60]], np.float32))
    answered(start(), asked)
    assert asked.sender.outputs()["det_scores"].tolist() == [1.0]
    assert [call.model_name for call in triton.calls] == ["pose"]


def test_only_people_in_the_region_are_answered(start: Start) -> None:
    asked = request(roi=np.array([[0, 0], [50, 0], [50, 64], [0, 64]], np.float32))
    answered(start(), asked)
    boxes = asked.sender.outputs()["boxes"]
    np.testing.assert_allclose(boxes, [[4, 4, 40, 60]])


def test_choices_of_a_request(start: Start, triton: Triton) -> None:
    asked = request(
        parameters=json.dumps({"flip": True}), det_threshold=np.array([0.85], np.float32)
    )
    answered(start(), asked)
    assert len(asked.sender.outputs()["boxes"]) == 1
    assert len(triton.calls[1].inputs[0].as_numpy()) == 2


@pytest.mark.parametrize(
    ("parts", "code", "reason"),
    [
        ({"image": np.zeros(2000, np.uint8)}, "invalid_image", "image"),
        ({"image": np.zeros(0, np.uint8)}, "invalid_image", "image"),
        ({"image": np.frombuffer(b"Dear friend,", np.uint8)}, "invalid_image", "image"),
        ({"image": np.frombuffer(PNG[:60], np.uint8)}, "damaged_image", "damaged_image"),
        ({"frame": np.zeros((1, 1, 3), np.uint8)}, "invalid_image", "image"),
        ({"parameters": '{"flop": true}'}, "invalid_request", "options"),
        ({"det_threshold": np.array([2], np.float32)}, "invalid_request", "options"),
        ({"person_boxes": np.zeros((1, 4), np.float32)}, "invalid_request", "options"),
        ({"roi": np.zeros((3, 2), np.float32)}, "invalid_request", "options"),
    ],
    ids=["too large", "empty", "text", "cut", "two", "unknown", "threshold", "boxes", "region"],
)
def test_wrong_requests_are_refused(
    start: Start, triton: Triton, parts: dict[str, Any], code: str, reason: str
) -> None:
    model, asked = start(max_image_bytes="1999"), request(**parts)
    answered(model, asked)
    assert asked.sender.error().startswith(f"[{code}] ")
    assert asked.sender.status() == TritonError.INVALID_ARG
    assert triton.calls == []
    assert [line.split()[2] for line in triton.log] == ["refused"]
    assert counters(model) == {("requests", "invalid"): 1, ("rejections", reason): 1}
    # It takes no place of others.
    right = request()
    answered(model, right)
    assert len(right.sender.outputs()["boxes"]) == 2


def test_more_requests_than_are_accepted_are_refused_at_once(start: Start, triton: Triton) -> None:
    go = threading.Event()

    def wait(call: ModelCall) -> dict[str, np.ndarray]:
        go.wait(10)
        return find_two(call)

    triton.models["small"] = wait
    model = start(max_in_flight="2", workers="1")
    requests = [request() for _ in range(5)]
    model.execute(requests)
    refused = requests[2:]
    assert [each.sender.error() for each in refused] == [
        "[busy] 2 requests (max_in_flight) are already in flight"
    ] * 3
    assert {each.sender.status() for each in refused} == {TritonError.UNAVAILABLE}
    go.set()
    assert wait_until(lambda: all(each.sender.sent for each in requests), 10)
    assert [len(each.sender.outputs()["boxes"]) for each in requests[:2]] == [2, 2]
    assert wait_until(lambda: is_admitted(model._accepted), 10)


def test_a_server_that_shuts_down_accepts_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONPOSE_DRAIN_FILE", str(tmp_path / "drain"))
    model, before, after = start(), request(), request()
    answered(model, before)
    (tmp_path / "drain").touch()
    # Under load it looks a hundred times a second.
    assert wait_until(lambda: not is_admitted(model._accepted), 10)
    answered(model, after)
    assert len(before.sender.outputs()["boxes"]) == 2
    assert after.sender.error() == "[shutting_down] the server is shutting down"
    assert after.sender.status() == TritonError.UNAVAILABLE


@pytest.mark.parametrize(
    ("seconds", "cancelled", "error", "status"),
    [
        (1.1, False, "[deadline] the answer was not ready within 1 s", TritonError.UNAVAILABLE),
        (0.1, True, "[cancelled] the client cancelled the request", TritonError.CANCELLED),
    ],
)
def test_what_is_late_or_cancelled_is_not_finished(
    start: Start, triton: Triton, seconds: float, cancelled: bool, error: str, status: int
) -> None:
    def take_a_while(call: ModelCall) -> dict[str, np.ndarray]:
        threading.Event().wait(seconds)
        return find_two(call)

    triton.models["small"] = take_a_while
    model, asked = start(deadline_s="1"), request(cancelled=cancelled)
    answered(model, asked)
    assert asked.sender.error().startswith(error)
    assert asked.sender.status() == status
    assert [call.model_name for call in triton.calls] == ["small"]
    assert cancelled or counters(model)["rejections", "deadline"] == 1


def test_a_model_is_loaded_when_it_is_first_used(start: Start, triton: Triton) -> None:
    triton.ready.clear()
    # All have met a model that isn't ready before the first of them loads it.
    triton.on_load = lambda _name: wait_until(lambda: len(triton.calls) >= 8, 10)
    model, requests = start(workers="8"), [request() for _ in range(8)]
    answered(model, *requests)
    assert [len(each.sender.outputs()["boxes"]) for each in requests] == [2] * 8
    assert sorted(triton.loads) == ["pose", "small"]
    # Where its operator sees it: the request takes seconds longer than others.
    assert "warn: loading model small, which a request waits for" in triton.log


def test_a_model_that_can_not_be_loaded(start: Start, triton: Triton) -> None:
    del triton.models["small"]
    triton.ready.clear()
    model, asked = start(), request()
    answered(model, asked)
    assert asked.sender.error().startswith("[model_unavailable] model 'small' can't be loaded: ")
    assert asked.sender.status() == TritonError.UNAVAILABLE
    assert counters(model) == {("requests", "unavailable"): 1, ("rejections", "model"): 1}


@pytest.mark.parametrize(
    ("failure", "error", "status"),
    [
        ("no kernel", "[model_failed] model 'small': no kernel", TritonError.INTERNAL),
        (
            "Server is stopping, scheduler for model has stopped accepting new requests",
            *("[shutting_down] the server is shutting down", TritonError.UNAVAILABLE),
        ),
        (
            "Stub process 'pose_0_0' is not healthy.",
            *("[model_unavailable] model 'small' has lost its process", TritonError.UNAVAILABLE),
        ),
    ],
)
def test_a_ready_model_that_fails_is_run_once(
    start: Start, triton: Triton, failure: str, error: str, status: int
) -> None:
    triton.models["small"] = lambda _call: failure
    model, asked = start(), request()
    answered(model, asked)
    assert (asked.sender.error(), asked.sender.status()) == (error, status)
    assert (len(triton.calls), triton.loads) == (1, [])
    if status == TritonError.INTERNAL:
        assert counters(model) == {("requests", "internal"): 1, ("rejections", "model"): 1}


def test_errors_of_models_while_the_launcher_shuts_down(
    start: Start, triton: Triton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONPOSE_DRAIN_FILE", str(tmp_path / "drain"))

    def stop(_call: ModelCall) -> str:
        (tmp_path / "drain").touch()
        return "unloaded"

    triton.models["pose"] = stop
    model, asked = start(), request()
    answered(model, asked)
    assert asked.sender.error() == "[shutting_down] the server is shutting down"
    assert triton.loads == []


def test_what_nobody_foresaw_is_logged_and_named_internal(start: Start, triton: Triton) -> None:
    triton.models["pose"] = lambda _call: {"heatmap": np.zeros((1, 17), np.float32)}
    model, asked = start(), request(request_id="mine")
    answered(model, asked)
    assert asked.sender.error().startswith("[internal] internal error: ")
    assert asked.sender.status() == TritonError.INTERNAL
    (line,) = triton.log
    assert line.startswith("error: request_id=mine failed after ")
    assert "Traceback" in line
