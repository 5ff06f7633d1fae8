"""Building TensorRT engines, all but TensorRT itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from quantizable_model import HEIGHT, WIDTH, install
from tritonpose_pipeline.repository import read_config
from tritonpose_server.embedded.device import visible_devices
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models import tensorrt
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.onnx_graph import tensor_shape
from tritonpose_server.models.store import ModelStore, config_path
from tritonpose_server.models.tensorrt import NO_GPU, EngineOptions, build_engine, main


@pytest.fixture
def store(store: ModelStore) -> ModelStore:
    install(store)
    return store


class Builder:
    """Stands for TensorRT; keeps what it is to build."""

    def __init__(self) -> None:
        self.jobs: list[tuple[onnx.ModelProto, int, int | None]] = []

    def __call__(self, *job: Any) -> tuple[bytes, str]:
        self.jobs.append(job)
        return b"plan", "11.4.0"

    def build(self, store: ModelStore, options: EngineOptions) -> Path:
        return build_engine(store, "toy", options, lambda _: None, self)

    def weight_types(self) -> set[int]:
        ((model, _, _),) = self.jobs
        return {weight.data_type for weight in model.graph.initializer}


def test_files(store: ModelStore) -> None:
    builder = Builder()
    plan = builder.build(store, EngineOptions(max_batch=16, workspace_mib=5))
    assert plan == store.path("toy") / "1" / "model.plan"
    assert plan.read_bytes() == b"plan"
    config = read_config(config_path(store.path("toy"), "tensorrt"))
    assert (config.backend, config.max_batch_size) == ("tensorrt", 16)
    assert config.parameters["engine_tensorrt"].string_value == "11.4.0"
    assert config.parameters["engine_precision"].string_value == "fp16"
    # For models that were installed before there were such.
    assert read_config(config_path(store.path("toy"), "onnxruntime")).backend == "onnxruntime"
    assert builder.jobs[0][1:] == (16, 5)
    assert tensor_shape(builder.jobs[0][0].graph.input[0])[1:] == [HEIGHT, WIDTH, 3]
    assert onnx.TensorProto.FLOAT16 in builder.weight_types()
    assert not list(store.path("toy").rglob("*.new"))
    builder = Builder()
    builder.build(store, EngineOptions(precision="fp32"))
    assert builder.jobs[0][1] == 8
    assert onnx.TensorProto.FLOAT16 not in builder.weight_types()


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (EngineOptions(max_batch=4), ConversionError, "must be at least 8"),
        (EngineOptions(calibration=[Path("x")]), EmbeddedServerError, "fp16 needs no calibration"),
        (EngineOptions("int8"), EmbeddedServerError, "calibration needs images"),
    ],
)
def test_options_that_do_not_fit(
    store: ModelStore, options: EngineOptions, kind: type[Exception], words: str
) -> None:
    builder = Builder()
    with pytest.raises(kind, match=words):
        builder.build(store, options)
    assert builder.jobs == []
    assert not (store.path("toy") / "configs").exists()


# --- the command ---


@pytest.mark.parametrize("gpus", [0, 1])
def test_without_a_gpu_or_tensorrt(
    gpus: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("tritonpose_server.embedded.device.count_gpus", lambda: gpus)
    monkeypatch.setattr(tensorrt.importlib.util, "find_spec", lambda _: None)
    assert main(["toy"]) == NO_GPU
    error = capsys.readouterr().err
    assert error.startswith(
        "error: TensorRT is not installed" if gpus else "error: no NVIDIA GPU is visible here"
    )
    assert error.count("\n") == 1


@pytest.mark.parametrize("wrong", [["--precision", "fp8"], ["--gpu", "-1"], ["--max_batch", "0"]])
def test_wrong_command_lines(wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(wrong)


@pytest.mark.parametrize(
    ("visible", "number", "expected"),
    [(None, 1, "1"), ("", 0, "0"), ("3,5", 1, "5"), ("GPU-abc", 0, "GPU-abc")],
)
def test_a_gpu_among_the_visible_ones(visible: str | None, number: int, expected: str) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_devices(number, environment) == expected
