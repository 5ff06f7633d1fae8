"""Building engines, all but TensorRT itself: a recorder stands in for its Python module."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from quantizable_model import HEIGHT, WIDTH, install
from tritonpose_server.embedded.gpus import visible_devices
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.gpu_config import parse_config
from tritonpose_server.models.paddle.tool_process import run_tool
from tritonpose_server.models.store import ModelStore, config_path
from tritonpose_server.models.tensorrt import build
from tritonpose_server.models.tensorrt.__main__ import main
from tritonpose_server.models.tensorrt.build import EngineOptions, build_engine
from tritonpose_server.models.tensorrt.worker import EngineError, Job, build_plan

SHAPE = (HEIGHT, WIDTH, 3)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "models")
    install(store)
    return store


class Recorder:
    """Notes calls; attributes are recorders, too."""

    def __init__(self, calls: list[tuple[Any, ...]], name: str = "", **results: Any) -> None:
        self._calls, self._name, self._results = calls, name, results

    def __getattr__(self, name: str) -> Any:
        if name in self._results:
            return self._results[name]
        return Recorder(self._calls, name, **self._results)

    def __call__(self, *arguments: Any) -> Any:
        self._calls.append((self._name, *arguments))
        return self._results.get(f"{self._name}()", self)


def tensorrt(calls: list[tuple[Any, ...]], **results: Any) -> Recorder:
    answers = {"parse()": True, "build_serialized_network()": b"plan", **results}
    flags = SimpleNamespace(STRONGLY_TYPED=1)
    return Recorder(calls, "tensorrt", NetworkDefinitionCreationFlag=flags, **answers)


def job(tmp_path: Path, **changes: Any) -> Job:
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(b"graph")
    fields = {"shape": SHAPE, "opt_batch": 8, "max_batch": 32, **changes}
    return Job(graph=str(graph), plan=str(tmp_path / "plan"), **fields)


# --- TensorRT ---


def test_plan(tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []
    assert build_plan(tensorrt(calls), job(tmp_path, workspace_mib=512)) == b"plan"
    assert ("create_network", 2) in calls  # the bit of strong typing
    assert ("parse", b"graph") in calls
    profile = ("set_shape", "image", (1, *SHAPE), (8, *SHAPE), (32, *SHAPE))
    assert profile in calls
    (limit,) = (call for call in calls if call[0] == "set_memory_pool_limit")
    assert limit[2] == 512 * 1024 * 1024


def test_all_memory_unless_told_otherwise(tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []
    build_plan(tensorrt(calls), job(tmp_path))
    assert "set_memory_pool_limit" not in {call[0] for call in calls}


def test_a_graph_that_tensorrt_refuses(tmp_path: Path) -> None:
    results = {"parse()": False, "num_errors": 2, "get_error()": "no such operator"}
    trt = tensorrt([], **results)
    with pytest.raises(EngineError, match="can't read the graph: no such operator; no such"):
        build_plan(trt, job(tmp_path))


def test_an_engine_that_can_not_be_built(tmp_path: Path) -> None:
    trt = tensorrt([], **{"build_serialized_network()": None})
    with pytest.raises(EngineError, match="can't build the engine"):
        build_plan(trt, job(tmp_path))


def test_a_driver_that_does_not_do(tmp_path: Path) -> None:
    def builder(_: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    with pytest.raises(EngineError, match="finds no usable GPU"):
        build_plan(tensorrt([], Builder=builder), job(tmp_path))


def test_job_as_text(tmp_path: Path) -> None:
    for given in (job(tmp_path), job(tmp_path, workspace_mib=5)):
        assert Job.from_json(given.to_json()) == given


def test_worker_without_tensorrt(tmp_path: Path) -> None:
    """The real program, where TensorRT can not be imported."""
    outcome = run_tool(
        "worker",
        [sys.executable, "-m", "tritonpose_server.models.tensorrt.worker"],
        timeout_s=60,
        stdin=job(tmp_path).to_json(),
        environment={"PYTHONPATH": str(blocked(tmp_path))},
    )
    assert outcome.status == 1
    assert outcome.output == "error: TensorRT can't be loaded: not here\n"


def blocked(tmp_path: Path) -> Path:
    """A path on which TensorRT can't be imported, wherever else it is."""
    directory = tmp_path / "path"
    directory.mkdir()
    (directory / "tensorrt.py").write_text("raise ImportError('not here')")
    return directory


# --- files ---


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Job, onnx.ModelProto]]:
    """The jobs that the worker gets, and their graphs."""
    jobs: list[tuple[Job, onnx.ModelProto]] = []

    def run(job: Job, *_: object) -> dict[str, str]:
        jobs.append((job, onnx.load(job.graph)))
        Path(job.plan).write_bytes(b"plan")
        return {"tensorrt": "11.4.0"}

    monkeypatch.setattr(build, "_run_worker", run)
    return jobs


def test_files(store: ModelStore, worker: list[tuple[Job, onnx.ModelProto]]) -> None:
    plan = build_engine(store, "toy", EngineOptions(max_batch=16), lambda _: None)
    assert plan == store.path("toy") / "1" / "model.plan"
    assert plan.read_bytes() == b"plan"
    config = parse_config(config_path(store.path("toy"), "tensorrt").read_text())
    assert (config.backend, config.max_batch_size) == ("tensorrt", 16)
    assert config.parameters["engine_tensorrt"].string_value == "11.4.0"
    assert config.parameters["engine_precision"].string_value == "fp16"
    # For models that were installed before there were such.
    config = parse_config(config_path(store.path("toy"), "onnxruntime").read_text())
    assert config.backend == "onnxruntime"
    ((made, graph),) = worker
    assert (made.shape, made.opt_batch, made.max_batch) == (SHAPE, 8, 16)
    assert onnx.TensorProto.FLOAT16 in {weight.data_type for weight in graph.graph.initializer}
    assert not list(store.path("toy").rglob("*.new"))


def test_too_small_a_batch(store: ModelStore, worker: list[Any]) -> None:
    with pytest.raises(ConversionError, match="must be at least 8"):
        build_engine(store, "toy", EngineOptions(max_batch=4), lambda _: None)
    assert not worker
    assert not (store.path("toy") / "configs").exists()


def test_calibration_for_floats(store: ModelStore, worker: list[Any]) -> None:
    options = EngineOptions(precision="fp16", calibration=[Path("photos")])
    with pytest.raises(EmbeddedServerError, match="fp16 needs no calibration images"):
        build_engine(store, "toy", options, lambda _: None)
    assert not worker


def test_a_worker_that_dies(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "dies"
    program.write_text("#!/bin/sh\necho 'lost the GPU'; kill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(build.sys, "executable", str(program))
    with pytest.raises(EmbeddedServerError, match=r"ended with status -9(.|\n)*lost the GPU"):
        build_engine(store, "toy", EngineOptions(), lambda _: None)
    assert not (store.path("toy") / "1" / "model.plan").exists()


# --- the command ---


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tritonpose_server.embedded.gpus.count_gpus", lambda: 0)
    assert main(["toy"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no NVIDIA GPU is visible here")
    assert error.count("\n") == 1


def test_without_tensorrt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tritonpose_server.embedded.gpus.count_gpus", lambda: 1)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _: None)
    assert main(["toy"]) == 1
    assert "TensorRT is not installed" in capsys.readouterr().err


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


def test_fp32_stays_fp32(store: ModelStore, worker: list[Any]) -> None:
    build_engine(store, "toy", EngineOptions(precision="fp32"), lambda _: None)
    ((_, graph),) = worker
    types = {weight.data_type for weight in graph.graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in types
    assert json.loads((store.path("toy") / "provenance.json").read_text())["source"] == "made up"
