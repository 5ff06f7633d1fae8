"""The openvino backend computes in bf16 if configured and supported by the CPU, and logs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
import pytest

import quantizable_model
import triton_stand_in
from tritonpose_server.embedded import resources
from tritonpose_server.engines.openvino import OpenVinoEngine, cpu_has_bf16
from tritonpose_server.models.precision import make_bf16
from tritonpose_server.models.store import ModelStore


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the backend logs, with the level before it."""
    return triton_stand_in.install(monkeypatch)


class Core:
    """An OpenVINO core on a CPU with or without bf16, which keeps what is asked of it."""

    def __init__(self, *, bf16: bool) -> None:
        self._capabilities = ["FP32", *(["BF16"] if bf16 else [])]
        self._core = openvino.Core()
        self.read_model = self._core.read_model
        self.asked: set[str] = set()

    def get_property(self, _device: str, _key: str) -> list[str]:
        return self._capabilities

    def compile_model(self, model: Any, device: str, settings: dict[str, Any]) -> object:
        self.asked.add(settings["INFERENCE_PRECISION_HINT"])
        # Not every machine that runs this test has bf16.
        settings = {**settings, "INFERENCE_PRECISION_HINT": "f32"}
        return self._core.compile_model(model, device, settings)


def load(servable: Path, *, cpu_has_bf16: bool) -> str:
    """Load a model as Triton does.

    Returns:
        The precision that OpenVINO was asked for.
    """
    core = Core(bf16=cpu_has_bf16)
    model = triton_stand_in.load_module(resources.backends() / "openvino" / "model.py")
    served = model.TritonPythonModel()
    served.engine = OpenVinoEngine(core)
    served.initialize(quantizable_model.triton_arguments(servable))
    served.finalize()
    (precision,) = core.asked
    return precision


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path)
    quantizable_model.install(store)
    return store


@pytest.mark.parametrize(
    ("hint", "supported", "precision", "logged"),
    [
        (False, True, "f32", []),
        (False, False, "f32", []),
        (True, True, "bf16", ["info: model toy-bf16: computes in bf16"]),
        (True, False, "f32", ["warn: model toy-bf16: computes in FP32, for this CPU has no bf16"]),
    ],
)
def test_precision(
    store: ModelStore,
    log: list[str],
    hint: bool,
    supported: bool,
    precision: str,
    logged: list[str],
) -> None:
    servable = make_bf16(store, "toy") if hint else store.path("toy")
    assert load(servable, cpu_has_bf16=supported) == precision
    assert log == logged


@pytest.mark.parametrize("expected", [True, False])
def test_what_openvino_says_of_the_cpu(expected: bool) -> None:
    assert cpu_has_bf16(Core(bf16=expected)) == expected
