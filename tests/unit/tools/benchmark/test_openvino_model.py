"""Models run in this process: one request at a time, and side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from quantizable_model import HEIGHT, WIDTH, install
from tools.benchmark.workers.openvino_model import DirectModel, SideBySideModel
from tritonpose_server.models.store import ModelStore


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(ModelStore(tmp_path_factory.mktemp("models")))


def images(count: int, seed: int) -> np.ndarray:
    shape = (count, HEIGHT, WIDTH, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_each_gets_its_own_answer(model: Path) -> None:
    """Batches of all sizes from many threads."""
    direct = DirectModel(model, ("heatmap",), 1)
    side_by_side = SideBySideModel(model, ("heatmap",), streams=2, threads=2)
    batches = [images(1 + seed % 11, seed) for seed in range(60)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(side_by_side.run, batches))
    for batch, (heatmap,) in zip(batches, answers, strict=True):
        (expected,) = direct.run(batch)
        assert heatmap.shape == (len(batch), 17, HEIGHT // 4, WIDTH // 4)
        np.testing.assert_allclose(heatmap, expected, atol=1e-4)


def test_answers_stay_what_they_are(model: Path) -> None:
    direct = DirectModel(model, ("heatmap",), 1)
    (first,) = direct.run(images(2, seed=1))
    before = first.copy()
    direct.run(images(2, seed=2))
    np.testing.assert_array_equal(first, before)


def test_errors_reach_the_caller(model: Path) -> None:
    side_by_side = SideBySideModel(model, ("heatmap",), streams=1, threads=1)
    with pytest.raises(RuntimeError):
        side_by_side.run(np.zeros((1, HEIGHT + 1, WIDTH, 3), np.uint8))
    assert side_by_side.run(images(1, seed=1))[0].shape[0] == 1
