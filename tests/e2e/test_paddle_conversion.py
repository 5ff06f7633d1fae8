"""Paddle models become models that agree with Paddle: real Paddle, real paddle2onnx.

The environment that this needs is kept in the cache; the first run makes it, which takes a minute
and downloads 240 MB.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import yaml

import reference_data
from tritonpose_server.models.catalog import Role
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.paddle.tool_environment import PADDLE_ENVIRONMENT
from tritonpose_server.models.store import ModelStore
from tritonpose_server.models.triton_config import MAX_BATCH_SIZE

pytestmark = pytest.mark.timeout(1800)

# A keypoint model with what Paddle 3.3 writes other than 3.0: float64 attributes of single
# operators and of interpolation.
MAKE_MODEL = """
import sys
import paddle

class Model(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 17, 3, stride=8, padding=1)
        self.norm = paddle.nn.LayerNorm(12)

    def forward(self, image):
        x = paddle.nn.functional.leaky_relu(self.norm(self.conv(image)), 0.3)
        if sys.argv[2] == "unsupported":
            x = paddle.digamma(x)
        return paddle.nn.functional.interpolate(x * 1.5, scale_factor=2, mode="nearest")

paddle.seed(0)
model = Model()
model.eval()
image = paddle.static.InputSpec([None, 3, 128, 96], "float32", name="image")
paddle.jit.save(model, sys.argv[1], input_spec=[image])
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return PADDLE_ENVIRONMENT.ensure(print)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def run_model(model: Path, images: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        str(model / "1" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"image": images}))


def facts(model: Path) -> dict[str, Any]:
    """What a model's provenance says of its comparison with the source."""
    assert f"max_batch_size: {MAX_BATCH_SIZE}\n" in (model / "config.pbtxt").read_text()
    found = json.loads((model / "provenance.json").read_text())["agreement"]
    assert (found["compared_with"], found["batches"]) == ("Paddle", True)
    return dict(found)


def photos(height: int, width: int) -> np.ndarray:
    """Two photos at a network's size, RGB."""
    paths = [reference_data.image(f"coco_{name}.jpg") for name in ("000000000785", "000000040083")]
    return np.stack([cv2.resize(cv2.imread(str(p)), (width, height))[..., ::-1] for p in paths])


# PaddleX's models; test_model_repository.py converts PP-YOLOE


def without_onnx(directory: Path, folder: Path) -> Path:
    """A copy of a model as Paddle exports it."""
    return shutil.copytree(
        directory, folder / directory.name, ignore=shutil.ignore_patterns("*.onnx")
    )


@reference_data.needed
@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    ("name", "role", "size"),
    [
        ("PP-TinyPose_128x96", "keypoint", (128, 96)),
        ("PicoDet-S_pedestrian_320", "detector", (320, 320)),
    ],
)
def test_models_that_come_in_both_forms(
    tmp_path: Path, store: ModelStore, name: str, role: Role, size: tuple[int, int]
) -> None:
    """From Paddle they give the model that they give from ONNX."""
    directory = reference_data.ROOT / "models" / name
    lines: list[str] = []
    model = install_paddle_model(
        without_onnx(directory, tmp_path), role, store, progress=lines.append
    )
    assert f"converting {tmp_path / name / 'inference.json'} to ONNX" in lines
    found = facts(model)
    if role == "keypoint":
        assert found["heatmap"] < 1e-4
    else:
        assert found["box_px"] < 0.02
        assert found["score"] < 1e-4
        assert found["rows"] > 50
    other = install_paddle_model(directory, role, store)
    assert other != model
    facts(other)
    for result, expected in zip(
        run_model(model, photos(*size)), run_model(other, photos(*size)), strict=True
    ):
        assert np.ptp(expected) > 0.5
        np.testing.assert_allclose(result, expected, rtol=0, atol=2e-3)


@reference_data.needed
@pytest.mark.usefixtures("python")
def test_weights_of_another_model(tmp_path: Path, store: ModelStore) -> None:
    models = reference_data.ROOT / "models"
    directory = without_onnx(models / "PP-TinyPose_128x96", tmp_path)
    (directory / "inference.pdiparams").unlink()
    shutil.copy(models / "PicoDet-S_pedestrian_192" / "inference.pdiparams", directory)
    with pytest.raises(ConversionError, match="does not have the weights that the network names"):
        install_paddle_model(directory, "keypoint", store)
    assert store.names() == []


# Models of other versions of Paddle


def make_model(python: Path, directory: Path, kind: str) -> Path:
    """Export a small model with Paddle."""
    directory.mkdir()
    # Paddle reads the source of what it exports.
    script = directory.with_suffix(".py")
    script.write_text(MAKE_MODEL)
    # Without this it writes the form of Paddle 2.
    new_form = "0" if kind == "pdmodel" else "1"
    subprocess.run(
        [python, "-I", script, directory / "inference", kind],
        check=True,
        env={**os.environ, "FLAGS_enable_pir_api": new_form},
    )
    yml = {
        "Global": {"model_name": "tiny"},
        "Preprocess": [
            {"type": "TopDownEvalAffine", "trainsize": [96, 128]},
            {"type": "NormalizeImage"},
            {"type": "Permute"},
        ],
    }
    (directory / "inference.yml").write_text(yaml.safe_dump(yml))
    return directory


@pytest.mark.parametrize("kind", ["json", "pdmodel"])
def test_forms_of_other_versions(
    tmp_path: Path, store: ModelStore, python: Path, kind: str
) -> None:
    directory = make_model(python, tmp_path / "model", kind)
    assert (directory / f"inference.{kind}").exists()
    if kind == "json":
        assert '"0.a_f64"' in (directory / "inference.json").read_text()
    model = install_paddle_model(directory, "keypoint", store)
    assert facts(model)["heatmap"] < 1e-4
    (heatmap,) = run_model(model, np.zeros((2, 128, 96, 3), np.uint8))
    assert np.ptp(heatmap) > 0.1


def test_operators_without_onnx_form(tmp_path: Path, store: ModelStore, python: Path) -> None:
    directory = make_model(python, tmp_path / "model", "unsupported")
    with pytest.raises(ConversionError, match=r"some of its operators \(probably digamma\)"):
        install_paddle_model(directory, "keypoint", store)
    assert store.names() == []
