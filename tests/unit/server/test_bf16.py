"""The openvino backend computes in bf16 where it is told to and the CPU can, and says so."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import openvino
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

import quantizable_model
import triton_stand_in
from tritonpose_server.embedded import resources
from tritonpose_server.engines import bf16
from tritonpose_server.models.precision import make_bf16
from tritonpose_server.models.store import ModelStore


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the backend logs, with the level before it."""
    triton_stand_in.install(monkeypatch)
    lines: list[str] = []
    levels = {
        f"log_{level}": lambda line, level=level: lines.append(f"{level}: {line}")
        for level in ("info", "warn", "error")
    }
    module = sys.modules["triton_python_backend_utils"]
    monkeypatch.setattr(module, "Logger", types.SimpleNamespace(**levels))
    return lines


def load(servable: Path, monkeypatch: pytest.MonkeyPatch, *, cpu_has_bf16: bool) -> str:
    """Load a model as Triton does.

    Returns:
        The precision that OpenVINO was asked for.
    """
    spec = importlib.util.spec_from_file_location(
        "openvino_backend", resources.backends() / "openvino" / "model.py"
    )
    assert spec is not None
    assert spec.loader is not None
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    monkeypatch.setattr(backend, "cpu_has_bf16", lambda: cpu_has_bf16)
    asked: list[str] = []

    class Core:
        read_model = staticmethod(openvino.Core().read_model)

        def compile_model(self, model: Any, device: str, settings: dict[str, Any]) -> object:
            asked.append(settings["INFERENCE_PRECISION_HINT"])
            # Not every machine that runs this test has bf16.
            settings = {**settings, "INFERENCE_PRECISION_HINT": "f32"}
            return openvino.Core().compile_model(model, device, settings)

    monkeypatch.setattr(backend, "openvino", types.SimpleNamespace(Core=Core))
    text = (servable / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    model = backend.TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(
                json_format.MessageToDict(config, preserving_proto_field_name=True)
            ),
            "model_repository": str(servable),
            "model_version": "1",
        }
    )
    model.finalize()
    (precision,) = set(asked)
    return precision


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path)
    quantizable_model.install(store)
    return store


@pytest.mark.parametrize("cpu_has_bf16", [True, False])
def test_fp32_without_the_hint(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, log: list[str], cpu_has_bf16: bool
) -> None:
    assert load(store.path("toy"), monkeypatch, cpu_has_bf16=cpu_has_bf16) == "f32"
    assert log == []


def test_bf16(store: ModelStore, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    assert load(make_bf16(store, "toy"), monkeypatch, cpu_has_bf16=True) == "bf16"
    assert log == ["info: model toy-bf16: computes in bf16"]


def test_fp32_with_a_warning_on_a_cpu_without(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    assert load(make_bf16(store, "toy"), monkeypatch, cpu_has_bf16=False) == "f32"
    assert log == ["warn: model toy-bf16: computes in FP32, for this CPU has no bf16"]


@pytest.mark.parametrize(
    ("capabilities", "expected"), [(["FP32", "INT8"], False), (["BF16", "FP32"], True)]
)
def test_what_openvino_says_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[str], expected: bool
) -> None:
    core = types.SimpleNamespace(get_property=lambda _device, _key: capabilities)
    monkeypatch.setattr(bf16.openvino, "Core", lambda: core)
    assert bf16.cpu_has_bf16() == expected
