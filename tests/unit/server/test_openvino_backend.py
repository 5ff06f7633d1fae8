"""OpenVINO runs images one by one: alone on all cores, or side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino
import pytest

from quantizable_model import HEIGHT, WIDTH, install, triton_arguments
from tritonpose_server.engines.cores import available_cores
from tritonpose_server.engines.engine import EngineConfig
from tritonpose_server.engines.openvino import OpenVinoEngine, OpenVinoModel
from tritonpose_server.models.store import ModelStore


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return install(ModelStore(tmp_path))


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


def test_an_answer_outlives_the_next_batch(load: Load) -> None:
    model = load()
    first = run(model, images(1, 1))
    before = first.copy()
    run(model, images(1, 2))
    np.testing.assert_array_equal(first, before)
