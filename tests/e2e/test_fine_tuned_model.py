"""Fine-tuned models of several input sizes with another normalization: no code knows them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import yaml

import reference_data
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest
from tritonpose_pipeline.keypoints import (
    boxes_to_centers_and_scales,
    crop_matrices,
    crop_people,
    decode_heatmaps,
    transform_points,
)
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.catalog import DEFAULT_DETECTOR
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore

pytestmark = reference_data.needed

MEAN, STD = [0.4, 0.5, 0.6], [0.3, 0.25, 0.2]


@pytest.fixture(params=[(128, 96), (256, 192)], ids=["128x96", "256x192"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Height and width of the model."""
    height, width = request.param
    return height, width


@pytest.fixture
def fine_tuned(size: tuple[int, int], tmp_path: Path) -> Path:
    """PP-TinyPose with another normalization, and an inference.yml that says so."""
    source = reference_data.ROOT / "models" / f"PP-TinyPose_{size[0]}x{size[1]}"
    directory = tmp_path / "fine_tuned"
    directory.mkdir()
    shutil.copy(source / "inference.onnx", directory)
    content = yaml.safe_load((source / "inference.yml").read_text())
    normalize = content["Preprocess"][1]
    assert normalize["type"] == "NormalizeImage"
    normalize["mean"], normalize["std"] = MEAN, STD
    (directory / "inference.yml").write_text(yaml.safe_dump(content))
    return directory


def test_is_served_as_its_files_say(
    fine_tuned: Path,
    size: tuple[int, int],
    installed_open_models: list[Path],
    photo: Path,
    tmp_path: Path,
) -> None:
    store = ModelStore(tmp_path / "models")
    model = install_paddle_model(fine_tuned, None, store, name="fine-tuned")
    detector = store.path(DEFAULT_DETECTOR)
    shutil.copytree(installed_open_models[0], detector)
    with EmbeddedServer([detector, model], PipelineSettings(detector.name, model.name)) as server:
        transport = connect(server.grpc_url)
        served = transport.infer(InferRequest(image=photo.read_bytes()))
        transport.close()
    assert len(served.boxes) == 2

    height, width = size
    centers, scales = boxes_to_centers_and_scales(served.boxes, width / height)
    matrices = crop_matrices(centers, scales, (width, height))
    crops = crop_people(cv2.imread(str(photo)), matrices, (width, height))
    pixels = (crops / 255 - np.array(MEAN)) / np.array(STD)
    session = onnxruntime.InferenceSession(str(fine_tuned / "inference.onnx"))
    feed = {"image": pixels.transpose(0, 3, 1, 2).astype(np.float32)}
    (heatmaps,) = session.run(["fetch_name_0"], feed)
    coordinates, scores = decode_heatmaps(heatmaps)
    to_image = crop_matrices(centers, scales, (width // 4, height // 4), inverse=True)
    np.testing.assert_allclose(served.keypoints[..., 2], scores, atol=1e-3)
    expected = transform_points(coordinates, to_image)
    np.testing.assert_allclose(served.keypoints[..., :2], expected, atol=0.1)
