"""TensorRT takes our graphs: engines built ahead of time by TensorRT for RTX, without a GPU.

It is of the same parser and of the same rules for types as TensorRT 11. No engine is run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reference_data
from quantizable_model import HEIGHT, WIDTH, install
from side_packages import side_packages
from tritonpose_server.models.catalog import OPEN_MODELS
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore

# 230 MB, installed in ten seconds.
PACKAGE = "tensorrt-rtx==1.7.1.116"

PROGRAM = Path(__file__).resolve().parents[2] / "support" / "tensorrt_without_gpu.py"

ON_DEMAND = pytest.mark.skipif(
    "TRITONPOSE_TEST_ENGINES" not in os.environ,
    reason="builds for minutes: set TRITONPOSE_TEST_ENGINES to 1",
)

# What convolutions compute in.
TYPES = {"fp32": ["float32"], "fp16": ["float16"]}


@pytest.fixture(scope="session")
def library() -> Path:
    return side_packages(PACKAGE, dependencies=True)


def build(library: Path, model: Path, precision: str, max_batch: int) -> dict[str, Any]:
    paths = [str(library), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(PROGRAM), str(model), precision, str(max_batch)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_small_model(library: Path, tmp_path: Path, precision: str) -> None:
    store = ModelStore(tmp_path)
    install(store)
    found = build(library, store.model_file("toy"), precision, 32)
    assert found["inputs"] == {"image": ["UINT8", -1, HEIGHT, WIDTH, 3]}
    assert found["outputs"] == {"heatmap": ["FLOAT", -1, 17, HEIGHT // 4, WIDTH // 4]}
    assert found["convolutions"] == TYPES.get(precision, ["float16"])
    assert found["bytes"] > 0


@ON_DEMAND
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", OPEN_MODELS)
def test_open_models(library: Path, store: ModelStore, name: str, precision: str) -> None:
    install_open_models([name], store, print)
    check(build(library, store.model_file(name), precision, 32), precision)


@ON_DEMAND
@reference_data.needed
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    "name",
    [
        "PP-TinyPose_128x96",
        "PP-TinyPose_256x192",
        "PicoDet-S_pedestrian_192",
        "PicoDet-S_pedestrian_320",
    ],
)
def test_models_of_paddlex(library: Path, store: ModelStore, name: str, precision: str) -> None:
    place = reference_data.ROOT / "models" / name / "inference.onnx"
    model = install_paddle_model(place, None, store)
    check(build(library, model / "1" / "model.onnx", precision, 32), precision)


def check(found: dict[str, Any], precision: str) -> None:
    """Check types and shapes: pixels in, float32 out, any number of images."""
    assert found["bytes"] > 1e6
    ((kind, batch, _, _, channels),) = found["inputs"].values()
    assert (kind, batch, channels) == ("UINT8", -1, 3)
    assert set(found["outputs"]) in ({"heatmap"}, {"boxes", "scores"})
    for kind, batch, *sizes in found["outputs"].values():
        assert (kind, batch) == ("FLOAT", -1)
        assert all(size > 0 for size in sizes)
    assert found["convolutions"] == TYPES.get(precision, ["float16"])
