"""A model's configuration as Triton passes it to a backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import json_format

from tritonpose_server.engines.engine import EngineConfig, EngineConfigError, TensorConfig
from tritonpose_server.models.triton_config import keypoint_parameters, make_config


def image(**changes: Any) -> dict[str, Any]:
    return {"name": "image", "data_type": "TYPE_UINT8", "dims": [32, 48, 3], **changes}


def arguments(folder: Path, config: dict[str, Any], filename: str = "model.onnx") -> dict[str, str]:
    """Arguments of Triton for a model whose file exists."""
    (folder / "1").mkdir()
    (folder / "1" / filename).write_bytes(b"")
    return {
        "model_config": json.dumps(config),
        "model_repository": str(folder),
        "model_version": "1",
    }


def configuration(**changes: Any) -> dict[str, Any]:
    content = {
        "name": "model",
        "max_batch_size": 8,
        "default_model_filename": "model.onnx",
        "input": [image()],
        "output": [{"name": "scores", "data_type": "TYPE_FP32", "dims": [-1]}],
        "parameters": {"NUM_STREAMS": {"string_value": "3"}},
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None}


def model(**parameters: str) -> EngineConfig:
    return EngineConfig("model", Path("model.onnx"), 1, (), (), parameters)


def test_everything(tmp_path: Path) -> None:
    assert EngineConfig.from_triton(arguments(tmp_path, configuration())) == EngineConfig(
        name="model",
        path=tmp_path / "1" / "model.onnx",
        max_batch_size=8,
        inputs=(TensorConfig("image", np.dtype(np.uint8), (32, 48, 3)),),
        outputs=(TensorConfig("scores", np.dtype(np.float32), (-1,)),),
        parameters={"NUM_STREAMS": "3"},
    )


@pytest.mark.parametrize(
    ("default", "filename"),
    [("other.onnx", "other.onnx"), ("", "model.onnx"), (None, "model.onnx")],
)
def test_filename(tmp_path: Path, default: str | None, filename: str) -> None:
    config = configuration(default_model_filename=default)
    read = EngineConfig.from_triton(arguments(tmp_path, config, filename))
    assert read.path == tmp_path / "1" / filename


def test_no_parameters(tmp_path: Path) -> None:
    config = configuration(parameters=None)
    assert EngineConfig.from_triton(arguments(tmp_path, config)).parameters == {}


def test_types(tmp_path: Path) -> None:
    kinds = {
        "INT8": "int8",
        "INT32": "int32",
        "INT64": "int64",
        "FP16": "float16",
        "FP64": "float64",
    }
    tensors = [image(data_type=f"TYPE_{kind}") for kind in kinds]
    read = EngineConfig.from_triton(arguments(tmp_path, configuration(input=tensors)))
    assert [tensor.dtype for tensor in read.inputs] == list(map(np.dtype, kinds.values()))


def test_sizes_written_as_text(tmp_path: Path) -> None:
    """The JSON form of protobuf writes 64-bit integers so."""
    config = configuration(input=[image(dims=["32", "-1", "3"])])
    assert EngineConfig.from_triton(arguments(tmp_path, config)).inputs[0].dims == (32, -1, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be at least 1, it is 0"),
        ({"max_batch_size": -4}, "max_batch_size must be at least 1, it is -4"),
        ({"max_batch_size": None}, "max_batch_size must be at least 1, it is 0"),
        ({"default_model_filename": "gone.onnx"}, "gone.onnx is missing"),
        ({"input": [image(data_type="TYPE_STRING")]}, "'image' has the unsupported type TYPE_STR"),
        ({"output": [image(data_type="TYPE_BOOL")]}, "'image' has the unsupported type TYPE_BOOL"),
        ({"input": [image(dims=3)]}, "tensor 'image' has no dims"),
    ],
)
def test_what_is_not_served(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineConfigError) as caught:
        EngineConfig.from_triton(arguments(tmp_path, configuration(**change)))
    assert str(caught.value).startswith("model 'model': ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, None),
        ({"NUM_STREAMS": "AUTO"}, None),
        ({"NUM_STREAMS": "auto"}, None),
        ({"NUM_STREAMS": "1"}, 1),
        ({"NUM_STREAMS": "12"}, 12),
        ({"OTHER": "12"}, None),
    ],
)
def test_positive_integer(parameters: dict[str, str], expected: int | None) -> None:
    assert model(**parameters).positive_integer("NUM_STREAMS") == expected


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many", "1 2"])
def test_no_positive_integer(text: str) -> None:
    with pytest.raises(EngineConfigError) as caught:
        model(NUM_STREAMS=text).positive_integer("NUM_STREAMS")
    assert str(caught.value) == (
        f"model 'model': parameter NUM_STREAMS must be a positive integer or AUTO, it is {text!r}"
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, False),
        ({"HINT_BF16": "YES"}, True),
        ({"HINT_BF16": "yes"}, True),
        ({"HINT_BF16": "NO"}, False),
        ({"HINT_BF16": "No"}, False),
    ],
)
def test_flag(parameters: dict[str, str], expected: bool) -> None:
    assert model(**parameters).flag("HINT_BF16") is expected


@pytest.mark.parametrize("text", ["", "true", "1"])
def test_no_flag(text: str) -> None:
    with pytest.raises(EngineConfigError, match="'model': parameter HINT_BF16 must be YES or NO"):
        model(HINT_BF16=text).flag("HINT_BF16")


def test_a_configuration_that_conversion_wrote(tmp_path: Path) -> None:
    tensors = [
        onnx.helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("image", onnx.TensorProto.UINT8, ["batch", 32, 24, 3]),
            ("heatmap", onnx.TensorProto.FLOAT, ["batch", 17, 8, None]),
        )
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "model", tensors[:1], tensors[1:]))
    facts = keypoint_parameters(flip_shift=True, use_udp=False)
    config = make_config("pose", model, facts, max_batch_size=4)
    content = json_format.MessageToDict(config, preserving_proto_field_name=True)
    read = EngineConfig.from_triton(arguments(tmp_path, content))
    assert (read.name, read.max_batch_size) == ("pose", 4)
    assert read.inputs == (TensorConfig("image", np.dtype(np.uint8), (32, 24, 3)),)
    assert read.outputs == (TensorConfig("heatmap", np.dtype(np.float32), (17, 8, -1)),)
    assert read.parameters == facts
