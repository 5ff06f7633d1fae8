"""The Triton configuration of a model, and what the pipeline reads from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonpose_pipeline.keypoint_schema import KeypointSchema, default_schema
from tritonpose_pipeline.repository import DetectorModel, KeypointModel, NmsSettings
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.triton_config import (
    config_text,
    detector_parameters,
    keypoint_parameters,
    make_config,
    onnxruntime_config,
    tensorrt_config,
)

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


def parameters(config: pb.ModelConfig) -> dict[str, str]:
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
    config = make_config(
        "d", DETECTOR, detector_parameters(**settings(**changes)), max_batch_size=8
    )
    return DetectorModel.from_config(config.name, config)


def test_tensors() -> None:
    config = make_config("some-model", DETECTOR, {"a": "b"}, max_batch_size=8)
    assert config.name == "some-model"
    assert config.default_model_filename == "model.onnx"
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [
        ("image", pb.TYPE_UINT8, [32, 48, 3])
    ]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.output] == [
        ("boxes", pb.TYPE_FP32, [24, 4]),
        ("scores", pb.TYPE_FP32, [24]),
    ]
    (group,) = config.instance_group
    assert (group.kind, group.count) == (pb.ModelInstanceGroup.KIND_CPU, 1)
    assert parameters(config) == {"a": "b"}


@pytest.mark.parametrize(("size", "batched"), [(1, False), (2, True), (32, True)])
def test_batch_size(size: int, batched: bool) -> None:
    config = make_config("d", DETECTOR, {}, max_batch_size=size)
    assert config.max_batch_size == size
    assert config.HasField("dynamic_batching") is batched
    assert config.dynamic_batching.max_queue_delay_microseconds == 0


@pytest.mark.parametrize("seed", range(3))
def test_detector_as_the_pipeline_reads_it(seed: int) -> None:
    """Thresholds of a graph are float32: the pipeline must compare with the same numbers."""
    values = np.random.default_rng(seed).random(3, np.float32) / 10**seed
    score, iou, threshold = map(float, values)
    read = read_detector(nms=NmsSettings(score, iou, 1000, 100), threshold=threshold)
    found = [read.nms.score_threshold, read.nms.iou_threshold, read.threshold]
    assert np.array(found, np.float32).tolist() == values.tolist()
    assert replace(read, nms=NMS, threshold=0.5) == DetectorModel(
        name="d",
        height=32,
        width=48,
        interpolation=cv2.INTER_CUBIC,
        keep_ratio=False,
        pad_value=(124, 116, 104),
        nms=NMS,
        threshold=0.5,
    )
    assert (read.nms.top_k, read.nms.keep_top_k) == (1000, 100)


@pytest.mark.parametrize("flip_shift", [True, False])
@pytest.mark.parametrize("use_udp", [True, False])
def test_keypoint_model_as_the_pipeline_reads_it(flip_shift: bool, use_udp: bool) -> None:
    facts = keypoint_parameters(flip_shift=flip_shift, use_udp=use_udp)
    config = make_config("k", KEYPOINT, facts, max_batch_size=16)
    assert KeypointModel.from_config(config.name, config) == KeypointModel(
        name="k",
        height=32,
        width=48,
        max_batch_size=16,
        flip_shift=flip_shift,
        use_udp=use_udp,
        schema=default_schema(17),
    )


def test_other_facts_as_the_pipeline_reads_them() -> None:
    schema = KeypointSchema(tuple("鼻abcdefghijklmnop"), ((0, 1),), flip_pairs=((3, 4),))
    facts = keypoint_parameters(flip_shift=True, use_udp=False, schema=schema)
    config = make_config("k", KEYPOINT, facts, max_batch_size=16)
    written = text_format.Parse(config_text(config), pb.ModelConfig())
    assert KeypointModel.from_config("k", written).schema == schema

    facts = detector_parameters(**settings(), labels=["工人", 'a "b"', "c,d"], classes=[0, 2])
    config = make_config("d", DETECTOR, facts, max_batch_size=8)
    read = DetectorModel.from_config("d", text_format.Parse(config_text(config), pb.ModelConfig()))
    assert (read.labels, read.classes) == (("工人", 'a "b"', "c,d"), (0, 2))


# --- GPUs ---


def keypoint_config(max_batch_size: int = 32) -> pb.ModelConfig:
    parameters = keypoint_parameters(flip_shift=True, use_udp=False)
    return make_config("toy", KEYPOINT, parameters, max_batch_size=max_batch_size)


@pytest.mark.parametrize(
    ("size", "buckets"), [(1, [1]), (2, [1, 2]), (12, [1, 2, 4, 8, 12]), (32, [1, 2, 4, 8, 16, 32])]
)
def test_onnxruntime(size: int, buckets: list[int]) -> None:
    """It warms up every batch size that it prefers."""
    gpu = onnxruntime_config(keypoint_config(size))
    assert (gpu.name, gpu.backend, gpu.max_batch_size) == ("toy", "onnxruntime", size)
    assert gpu.default_model_filename == "model.onnx"
    (group,) = gpu.instance_group
    assert (group.kind, group.count, list(group.gpus)) == (pb.ModelInstanceGroup.KIND_GPU, 1, [])
    assert gpu.parameters["cudnn_conv_algo_search"].string_value == "1"
    assert gpu.HasField("dynamic_batching") is (size > 1)
    if size > 1:
        assert list(gpu.dynamic_batching.preferred_batch_size) == buckets
    assert gpu.dynamic_batching.max_queue_delay_microseconds == 0
    assert [entry.batch_size for entry in gpu.model_warmup] == buckets
    assert len({entry.name for entry in gpu.model_warmup}) == len(buckets)
    for entry in gpu.model_warmup:
        image = entry.inputs["image"]
        assert (image.data_type, list(image.dims)) == (pb.TYPE_UINT8, [32, 48, 3])
        assert image.random_data


def test_tensorrt() -> None:
    base = keypoint_config(8)
    gpu = tensorrt_config(base, 32, {"precision": "fp16", "tensorrt": "11.4"})
    assert (gpu.backend, gpu.default_model_filename) == ("tensorrt", "model.plan")
    assert gpu.max_batch_size == 32
    assert gpu.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert gpu.parameters["engine_precision"].string_value == "fp16"
    assert gpu.parameters["engine_tensorrt"].string_value == "11.4"
    assert gpu.HasField("dynamic_batching")
    for config in (onnxruntime_config(base), gpu):
        assert (list(config.input), list(config.output)) == (list(base.input), list(base.output))
        assert KeypointModel.from_config("toy", config).flip_shift


def test_an_engine_that_takes_less_than_the_pipeline_sends() -> None:
    with pytest.raises(ConversionError, match=r"largest batch must be at least 32.* it is 16"):
        tensorrt_config(keypoint_config(), 16, {})
