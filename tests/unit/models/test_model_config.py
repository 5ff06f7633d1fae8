"""The Triton configuration of a model, and what the pipeline reads from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from paddle_networks import inference_yml, write_model_directory
from tritonpose_pipeline.repository import (
    DetectorModel,
    KeypointModel,
    parse_detector,
    parse_keypoint,
)
from tritonpose_pipeline.repository import NmsSettings as PipelineNmsSettings
from tritonpose_server.models.model_config import (
    detector_parameters,
    keypoint_parameters,
    render_config,
)
from tritonpose_server.models.nms import NmsSettings
from tritonpose_server.models.paddle.inference_yml import read_inference_yml

NMS = NmsSettings(score_threshold=0.05, iou_threshold=0.6, top_k=1000, keep_top_k=100)


def model(*outputs: tuple[str, list[Any]]) -> onnx.ModelProto:
    """A model by its signature; only inputs and outputs matter here."""
    image = onnx.helper.make_tensor_value_info(
        "image", onnx.TensorProto.UINT8, ["batch", 32, 48, 3]
    )
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in outputs
    ]
    return onnx.helper.make_model(onnx.helper.make_graph([], "model", [image], tensors))


DETECTOR = model(("boxes", ["batch", 24, 4]), ("scores", ["batch", 24]))
KEYPOINT = model(("heatmap", ["batch", 17, 8, 12]))


def parsed(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def parameters(config: model_config_pb2.ModelConfig) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "interpolation": "cubic",
        "keep_ratio": False,
        "pad_value": (124, 116, 104),
        "threshold": 0.5,
        "nms": NMS,
        **changes,
    }


def read_detector(**changes: Any) -> DetectorModel:
    """What the pipeline reads of a detector's written configuration."""
    text = render_config(
        "d", DETECTOR, detector_parameters(**settings(**changes)), max_batch_size=8
    )
    config = parsed(text)
    return parse_detector(config.name, tuple(config.input[0].dims), parameters(config))


def test_tensors() -> None:
    config = parsed(render_config("some-model", DETECTOR, {"a": "b"}, max_batch_size=8))
    assert config.name == "some-model"
    assert config.default_model_filename == "model.onnx"
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [
        ("image", model_config_pb2.TYPE_UINT8, [32, 48, 3])
    ]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.output] == [
        ("boxes", model_config_pb2.TYPE_FP32, [24, 4]),
        ("scores", model_config_pb2.TYPE_FP32, [24]),
    ]
    (group,) = config.instance_group
    assert (group.kind, group.count) == (model_config_pb2.ModelInstanceGroup.KIND_CPU, 1)
    assert parameters(config) == {"a": "b"}


def test_open_sizes() -> None:
    graph = model(("boxes", ["batch", None, 4]), ("scores", ["batch", "count"]))
    config = parsed(render_config("d", graph, {}, max_batch_size=8))
    assert [list(tensor.dims) for tensor in config.output] == [[-1, 4], [-1]]


@pytest.mark.parametrize(("size", "batched"), [(1, False), (2, True), (32, True)])
def test_batch_size(size: int, batched: bool) -> None:
    config = parsed(render_config("d", DETECTOR, {}, max_batch_size=size))
    assert config.max_batch_size == size
    assert config.HasField("dynamic_batching") is batched
    assert config.dynamic_batching.max_queue_delay_microseconds == 0


def test_backend() -> None:
    assert parsed(render_config("d", DETECTOR, {}, max_batch_size=1)).backend == "openvino"
    text = render_config("d", DETECTOR, {}, max_batch_size=1, backend="onnxruntime")
    assert parsed(text).backend == "onnxruntime"


def test_detector_as_the_pipeline_reads_it() -> None:
    assert read_detector() == DetectorModel(
        name="d",
        height=32,
        width=48,
        interpolation=cv2.INTER_CUBIC,
        keep_ratio=False,
        pad_value=(124, 116, 104),
        nms=PipelineNmsSettings(
            score_threshold=0.05, iou_threshold=0.6, top_k=1000, keep_top_k=100
        ),
        threshold=0.5,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keep_ratio", True),
        ("pad_value", (0, 0, 0)),
        ("pad_value", (255, 1, 128)),
        ("threshold", 0.0),
        ("threshold", 1.0),
        ("threshold", 0.123456789),
    ],
)
def test_detector_values_survive(field: str, value: object) -> None:
    assert getattr(read_detector(**{field: value}), field) == value


@pytest.mark.parametrize("seed", range(3))
def test_float32_thresholds_survive(seed: int) -> None:
    """Those of the graph are float32: the pipeline must compare with the same numbers."""
    values = np.random.default_rng(seed).random(3, np.float32) / 10**seed
    score, iou, threshold = map(float, values)
    nms = NmsSettings(score, iou, 1000, 100)
    read = read_detector(nms=nms, threshold=threshold)
    found = [read.nms.score_threshold, read.nms.iou_threshold, read.threshold]
    assert np.array(found, np.float32).tolist() == values.tolist()


@pytest.mark.parametrize("limit", [-1, 1, 3000, 10**6])
def test_limits_survive(limit: int) -> None:
    assert read_detector(nms=NmsSettings(0.5, 0.5, limit, 7)).nms.top_k == limit
    assert read_detector(nms=NmsSettings(0.5, 0.5, 7, limit)).nms.keep_top_k == limit


@pytest.mark.parametrize(
    ("number", "flag"),
    [
        (0, cv2.INTER_NEAREST),
        (1, cv2.INTER_LINEAR),
        (2, cv2.INTER_CUBIC),
        (3, cv2.INTER_AREA),
        (4, cv2.INTER_LANCZOS4),
    ],
)
def test_interpolation_from_inference_yml_to_opencv(tmp_path: Path, number: int, flag: int) -> None:
    content = inference_yml("detector", 32, 48, Resize__interp=number)
    yml = read_inference_yml(write_model_directory(tmp_path, None, content) / "inference.yml")
    assert read_detector(interpolation=yml.interpolation).interpolation == flag


@pytest.mark.parametrize("flip_shift", [True, False])
@pytest.mark.parametrize("use_udp", [True, False])
def test_keypoint_model_as_the_pipeline_reads_it(flip_shift: bool, use_udp: bool) -> None:
    facts = keypoint_parameters(flip_shift=flip_shift, use_udp=use_udp)
    config = parsed(render_config("k", KEYPOINT, facts, max_batch_size=16))
    assert parse_keypoint(
        config.name, tuple(config.input[0].dims), config.max_batch_size, parameters(config)
    ) == KeypointModel(
        name="k", height=32, width=48, max_batch_size=16, flip_shift=flip_shift, use_udp=use_udp
    )
