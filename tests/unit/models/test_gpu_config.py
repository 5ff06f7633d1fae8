"""Configurations of models for GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from quantizable_model import install, quantizable_model
from tritonpose_pipeline.repository import parse_keypoint
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.gpu_config import (
    batch_buckets,
    onnxruntime_config,
    parse_config,
    tensorrt_config,
)
from tritonpose_server.models.model_config import keypoint_parameters, render_config
from tritonpose_server.models.store import ModelFiles, ModelStore, config_path


def config(max_batch_size: int = 32) -> str:
    parameters = keypoint_parameters(flip_shift=True, use_udp=False)
    return render_config("toy", quantizable_model(), parameters, max_batch_size=max_batch_size)


@pytest.mark.parametrize(
    ("largest", "buckets"),
    [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12]), (32, [1, 2, 4, 8, 16, 32])],
)
def test_buckets(largest: int, buckets: list[int]) -> None:
    assert batch_buckets(largest) == buckets


def test_onnxruntime() -> None:
    gpu = parse_config(onnxruntime_config(config()))
    assert (gpu.name, gpu.backend, gpu.max_batch_size) == ("toy", "onnxruntime", 32)
    assert gpu.default_model_filename == "model.onnx"
    (group,) = gpu.instance_group
    assert (group.kind, group.count, list(group.gpus)) == (pb.ModelInstanceGroup.KIND_GPU, 1, [])
    assert gpu.parameters["cudnn_conv_algo_search"].string_value == "1"
    assert list(gpu.dynamic_batching.preferred_batch_size) == [1, 2, 4, 8, 16, 32]
    assert gpu.dynamic_batching.max_queue_delay_microseconds == 0


def test_tensorrt() -> None:
    gpu = parse_config(tensorrt_config(config(8), 32, {"precision": "fp16", "tensorrt": "11.4"}))
    assert (gpu.backend, gpu.default_model_filename) == ("tensorrt", "model.plan")
    assert gpu.max_batch_size == 32
    assert gpu.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert gpu.parameters["engine_precision"].string_value == "fp16"
    assert gpu.parameters["engine_tensorrt"].string_value == "11.4"
    assert gpu.HasField("dynamic_batching")


def test_every_bucket_is_warmed_up() -> None:
    gpu = parse_config(onnxruntime_config(config(8)))
    assert [entry.batch_size for entry in gpu.model_warmup] == [1, 2, 4, 8]
    assert len({entry.name for entry in gpu.model_warmup}) == 4
    for entry in gpu.model_warmup:
        image = entry.inputs["image"]
        assert (image.data_type, list(image.dims)) == (pb.TYPE_UINT8, [32, 24, 3])
        assert image.random_data


def test_tensors_and_facts_are_the_models() -> None:
    base = parse_config(config())
    for text in (onnxruntime_config(config()), tensorrt_config(config(), 32, {})):
        gpu = parse_config(text)
        assert list(gpu.input) == list(base.input)
        assert list(gpu.output) == list(base.output)
        facts = {key: value.string_value for key, value in gpu.parameters.items()}
        model = parse_keypoint("toy", (32, 24, 3), gpu.max_batch_size, facts)
        assert model.flip_shift


def test_a_model_without_batches() -> None:
    gpu = parse_config(onnxruntime_config(config(1)))
    assert not gpu.HasField("dynamic_batching")
    assert [entry.batch_size for entry in gpu.model_warmup] == [1]


def test_an_engine_that_takes_less_than_the_pipeline_sends() -> None:
    with pytest.raises(ConversionError, match=r"largest batch must be at least 32.* it is 16"):
        tensorrt_config(config(), 16, {})


def test_the_store_keeps_them(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    text = onnxruntime_config(config())
    files = ModelFiles(quantizable_model(), config(), {"source": "x"}, {"onnxruntime": text})
    model = store.add("toy", files)
    assert config_path(model, "onnxruntime") == model / "configs" / "onnxruntime.pbtxt"
    assert config_path(model, "onnxruntime").read_text() == text
    assert json.loads((model / "provenance.json").read_text()) == {"source": "x"}


def test_a_model_need_not_have_any(tmp_path: Path) -> None:
    assert not (install(ModelStore(tmp_path)) / "configs").exists()
