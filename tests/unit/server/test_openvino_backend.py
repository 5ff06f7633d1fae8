"""OpenVINO runs images side by side, in pairs or alone, and in bf16 if it is asked to and can."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

import triton_stand_in
from other_user import OTHER_USER, needs_other_user
from quantizable_model import HEIGHT, WIDTH, install, quantizable_model, triton_arguments
from tritonpose_pipeline.cores import available_cores
from tritonpose_server.embedded import resources
from tritonpose_server.engines.compiled import CompiledModels
from tritonpose_server.engines.engine import EngineConfig
from tritonpose_server.engines.openvino import OpenVinoEngine, OpenVinoModel, cpu_has_bf16
from tritonpose_server.models.precision import make_bf16
from tritonpose_server.models.store import ModelStore


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


@pytest.fixture
def model(store: ModelStore) -> Path:
    return install(store)


Load = Callable[..., OpenVinoModel]


@pytest.fixture
def load(model: Path) -> Load:
    """Load the model with parameters."""

    def make(**parameters: str) -> OpenVinoModel:
        return OpenVinoEngine()(EngineConfig.from_triton(triton_arguments(model, **parameters)))

    return make


def images(count: int, seed: int) -> np.ndarray:
    shape = (count, HEIGHT, WIDTH, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def run(model: OpenVinoModel, batch: np.ndarray) -> np.ndarray:
    (heatmap,) = model.run({"image": batch})
    return heatmap


@pytest.mark.parametrize("streams", [1, 2])
def test_batches_of_all_sizes_from_several_threads(load: Load, model: Path, streams: int) -> None:
    whole = openvino.Core().compile_model(
        model / "1" / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    loaded = load(NUM_STREAMS=str(streams))
    assert loaded.streams == min(streams, available_cores())
    batches = [images(1 + seed % 5, seed) for seed in range(40)]
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda batch: run(loaded, batch), batches))
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, whole(batch)["heatmap"], atol=1e-4)


def test_images_of_a_batch_keep_their_order(load: Load) -> None:
    model, batch = load(), images(6, 1)
    alone = [run(model, batch[index : index + 1]) for index in range(len(batch))]
    np.testing.assert_allclose(run(model, batch), np.concatenate(alone), atol=1e-4)


class Calls:
    """Counts the images of each call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[int] = []
        infer = OpenVinoModel._infer

        def count(model: OpenVinoModel, streams: Any, images: Any) -> Any:
            self.found.append(len(images))
            return infer(model, streams, images)

        monkeypatch.setattr(OpenVinoModel, "_infer", count)


@pytest.mark.skipif(available_cores() < 2, reason="two streams need two cores")
@pytest.mark.parametrize(
    ("count", "calls"), [(1, [1]), (2, [1, 1]), (3, [1, 2]), (4, [2, 2]), (7, [1, 2, 2, 2])]
)
def test_small_images_beyond_the_streams_run_in_pairs(
    load: Load, monkeypatch: pytest.MonkeyPatch, count: int, calls: list[int]
) -> None:
    model, made = load(NUM_STREAMS="2"), Calls(monkeypatch)
    batch = images(count, 3)
    found = run(model, batch)
    assert sorted(made.found) == calls
    alone = [run(model, batch[index : index + 1]) for index in range(count)]
    np.testing.assert_array_equal(found, np.concatenate(alone))


def test_images_of_models_without_batches_run_alone(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a graph for a single image there is none for two."""
    model, made = install(store), Calls(monkeypatch)
    arguments = triton_arguments(model, NUM_STREAMS="1")
    config = replace(EngineConfig.from_triton(arguments), max_batch_size=1)
    found = run(OpenVinoEngine()(config), images(3, 4))
    assert made.found == [1, 1, 1]
    assert len(found) == 3


def test_an_answer_outlives_the_next_batch(load: Load) -> None:
    model = load()
    first = run(model, images(1, 1))
    before = first.copy()
    run(model, images(1, 2))
    np.testing.assert_array_equal(first, before)


# --- compiled models ---


# Graphs for an image and for two are compiled; that for a lone image is like the first.
FIRST = ["compile", "compile", "import"]
LATER = ["import"] * 3


class CountingCore:
    """An OpenVINO core that counts how often it compiles and imports."""

    def __init__(self) -> None:
        self._core = openvino.Core()
        self.read_model, self.get_property = self._core.read_model, self._core.get_property
        self.done: list[str] = []

    def compile_model(self, *arguments: Any) -> openvino.CompiledModel:
        self.done.append("compile")
        return self._core.compile_model(*arguments)

    def import_model(self, *arguments: Any) -> openvino.CompiledModel:
        self.done.append("import")
        return self._core.import_model(*arguments)


def load_kept(model: Path, folder: Path, **parameters: str) -> tuple[list[str], np.ndarray]:
    """Load a model with what is kept in a folder; return what was done, and its heatmaps."""
    core = CountingCore()
    config = EngineConfig.from_triton(triton_arguments(model, NUM_STREAMS="2", **parameters))
    loaded = OpenVinoEngine(core, CompiledModels(folder))(config)
    several = run(loaded, images(3, seed=9))
    np.testing.assert_array_equal(run(loaded, images(3, seed=9)[:1]), several[:1])
    return core.done, several


@pytest.mark.skipif(available_cores() < 2, reason="two graphs of a model need two cores")
def test_a_model_is_compiled_once(model: Path, tmp_path: Path) -> None:
    kept = tmp_path / "compiled"
    kept.mkdir()
    done, expected = load_kept(model, kept)
    assert done == FIRST
    for _ in range(2):
        done, found = load_kept(model, kept)
        assert done == LATER
        np.testing.assert_array_equal(found, expected)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def pretend(path: Path) -> None:
    """Content that is whole, but no model."""
    path.write_bytes(hashlib.sha256(b"no model").digest() + b"no model")


@pytest.mark.skipif(available_cores() < 2, reason="two graphs of a model need two cores")
@pytest.mark.parametrize("spoil", [damage, pretend, Path.unlink])
def test_what_was_kept_but_cannot_be_used_is_compiled_again(
    model: Path, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    kept = tmp_path / "compiled"
    kept.mkdir()
    _, expected = load_kept(model, kept)
    for file in kept.iterdir():
        spoil(file)
    done, found = load_kept(model, kept)
    assert done.count("compile") == 2
    assert done[-1] == "import"
    np.testing.assert_array_equal(found, expected)
    assert load_kept(model, kept)[0] == LATER


def test_what_another_user_left_is_not_used(tmp_path: Path) -> None:
    """It would run with the rights of the service."""
    kept = CompiledModels(tmp_path)
    for name in ("mine", "linked", "alien"):
        kept.save(name, b"compiled")
    linked = tmp_path / "linked.compiled"
    linked.unlink()
    linked.symlink_to("mine.compiled")
    os.mkfifo(tmp_path / "pipe.compiled")
    assert kept.load("mine") == b"compiled"
    assert kept.load("linked") is kept.load("pipe") is None
    needs_other_user()
    os.chown(tmp_path / "alien.compiled", OTHER_USER, OTHER_USER)
    assert kept.load("alien") is None


@pytest.mark.skipif(available_cores() < 2, reason="two graphs of a model need two cores")
def test_another_model_is_compiled(model: Path, store: ModelStore, tmp_path: Path) -> None:
    kept = tmp_path / "compiled"
    kept.mkdir()
    load_kept(model, kept)
    (model / "1" / "weights.data").write_bytes(b"changed")
    assert load_kept(model, kept)[0] == FIRST
    install(store, servable=quantizable_model(channels=16))
    assert load_kept(model, kept)[0] == FIRST


def test_a_folder_that_cannot_be_written_is_no_obstacle(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _, found = load_kept(model, tmp_path / "file")
    assert found.shape == (3, 17, HEIGHT // 4, WIDTH // 4)


def test_nothing_is_left_of_what_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "key.compiled").mkdir()
    CompiledModels(tmp_path).save("key", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["key.compiled"]


def test_what_was_not_used_for_long_is_removed(tmp_path: Path) -> None:
    kept = CompiledModels(tmp_path)
    kept.save("old", b"1")
    (old,) = tmp_path.iterdir()
    os.utime(old, (0, 0))
    kept.save("new", b"2")
    assert (kept.load("old"), kept.load("new")) == (None, b"2")


# --- bf16 ---


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

    def import_model(self, compiled: bytes, device: str, settings: dict[str, Any]) -> object:
        self.asked.add(settings["INFERENCE_PRECISION_HINT"])
        settings = {**settings, "INFERENCE_PRECISION_HINT": "f32"}
        return self._core.import_model(compiled, device, settings)


def precision_of(servable: Path, *, cpu_has_bf16: bool) -> str:
    """Load a model as Triton does.

    Returns:
        The precision that OpenVINO was asked for.
    """
    core = Core(bf16=cpu_has_bf16)
    model = triton_stand_in.load_module(resources.backends() / "openvino" / "model.py")
    served = model.TritonPythonModel()
    served.engine = OpenVinoEngine(core)
    served.initialize(triton_arguments(servable))
    served.finalize()
    (precision,) = core.asked
    return precision


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
    model: Path,
    log: list[str],
    hint: bool,
    supported: bool,
    precision: str,
    logged: list[str],
) -> None:
    servable = make_bf16(store, "toy") if hint else model
    assert precision_of(servable, cpu_has_bf16=supported) == precision
    assert log == logged


@pytest.mark.parametrize("expected", [True, False])
def test_what_openvino_says_of_the_cpu(expected: bool) -> None:
    assert cpu_has_bf16(Core(bf16=expected)) == expected


def test_openvino_runs_no_python_for_types_of_numpy() -> None:
    """Where it did at their first use, threads that loaded the first models waited for ever."""
    program = """
import sys, numpy as np, openvino, tritonpose_server.engines.openvino
called = []
sys.setprofile(lambda frame, event, _: called.append(frame.f_code) if event == "call" else None)
dtypes = [openvino.Type.f32.to_dtype(), openvino.Type.u8.to_dtype()]
types = [openvino.Type(np.uint8), openvino.Type(np.float32)]
sys.setprofile(None)
assert not called, called
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
