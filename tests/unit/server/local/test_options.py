"""Devices, engines and engine_config of the local engine."""

from __future__ import annotations

from typing import Any

import pytest

from tritonpose.errors import ConfigError, TritonPoseError
from tritonpose_server.local import options
from tritonpose_server.local.options import LocalOptions


@pytest.mark.parametrize("device", [None, "cpu", "CPU"])
def test_the_default_is_openvino_on_the_cpu(device: str | None) -> None:
    assert LocalOptions.parse(device) == LocalOptions("openvino", None, {}, False)


def test_onnx_runtime_where_openvino_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "is_installed", lambda name: name == "onnxruntime")
    assert LocalOptions.parse().engine == "onnxruntime"
    with pytest.raises(ConfigError, match="pip install openvino"):
        LocalOptions.parse(engine="openvino")


def test_without_any_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "is_installed", lambda _: False)
    with pytest.raises(ConfigError, match=r"openvino or onnxruntime.*pip install"):
        LocalOptions.parse()


def test_a_gpu_computes_with_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    monkeypatch.setattr(options, "require_gpus", asked.append)
    parsed = LocalOptions.parse("gpu:1")
    assert (parsed.engine, parsed.gpu, asked) == ("onnxruntime", 1, [[1]])
    with pytest.raises(ConfigError, match="computes on CPUs"):
        LocalOptions.parse("gpu", "openvino")


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("gpu:0,1", "one GPU"),
        ("npu:0", "NVIDIA GPUs"),
        ("xpu", "NVIDIA GPUs"),
        ("tpu", "expected"),
        ("", "expected"),
        (0, "device '0': expected"),
    ],
)
def test_other_devices(device: Any, says: str) -> None:
    with pytest.raises(TritonPoseError, match=says):
        LocalOptions.parse(device)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        ({}, {}),
        ({"cpu_threads": 3}, {"INFERENCE_NUM_THREADS": "3"}),
        ({"streams": 2, "precision": "bf16"}, {"NUM_STREAMS": "2", "HINT_BF16": "YES"}),
        ({"precision": "fp32"}, {"HINT_BF16": "NO"}),
        (
            {"openvino": {"cpu_threads": 1}, "onnxruntime": {"cpu_threads": 2}},
            {"INFERENCE_NUM_THREADS": "1"},
        ),
        ({"paddle_static": {"run_mode": "paddle"}}, {}),
    ],
)
def test_engine_config(config: dict, parameters: dict) -> None:
    assert LocalOptions.parse(engine_config=config).parameters == parameters


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"cpu_threads": 0}, "cpu_threads=0"),
        ({"cpu_threads": True}, "cpu_threads=True"),
        ({"streams": "many"}, "streams='many'"),
        ({"precision": "int8"}, "fp32 or bf16"),
        ({"precision": ["fp32"]}, "fp32 or bf16"),
        ({"run_mode": "paddle"}, "unknown key 'run_mode'"),
        ({"openvino": {"speed": 1}}, "unknown key 'speed'"),
        ("fast", "expected a dict"),
    ],
)
def test_wrong_engine_config(config: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        LocalOptions.parse(engine_config=config)


def test_bf16_is_openvinos() -> None:
    with pytest.raises(ConfigError, match="openvino"):
        LocalOptions.parse(engine="onnxruntime", engine_config={"precision": "bf16"})


def test_paddles_engines_are_named_as_what_they_are() -> None:
    with pytest.raises(ConfigError, match=r"'paddle_static'.*openvino or onnxruntime"):
        LocalOptions.parse(engine="paddle_static")
