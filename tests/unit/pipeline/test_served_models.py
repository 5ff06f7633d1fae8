"""The folders of PaddleX's models in the model repository say what conversion would write."""

from __future__ import annotations

import tarfile
from pathlib import Path

import onnx
import pytest

import reference_data
from tritonpose_pipeline.repository import ModelRepository, read_config
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded import resources
from tritonpose_server.models.catalog import PADDLEX_MODELS
from tritonpose_server.models.graph.keypoint_graph import servable_keypoint_model
from tritonpose_server.models.paddle.inference_yml import InferenceYml, read_inference_yml
from tritonpose_server.models.triton_config import (
    MAX_BATCH_SIZE,
    config_text,
    keypoint_parameters,
    make_config,
    onnxruntime_config,
    tensorrt_config,
)

REPOSITORY = resources.model_repository()


def config_of(name: str) -> str:
    return (REPOSITORY / name / "config.pbtxt").read_text()


def test_every_model_of_paddlex_has_its_folder() -> None:
    repository = ModelRepository(REPOSITORY)
    for role in ("detector", "keypoint"):
        known = {name for name, model in PADDLEX_MODELS.items() if model.role == role}
        assert set(repository.names(role)) == known
    parsed = read_config(REPOSITORY / "human_keypoint_detection" / "config.pbtxt")
    settings = PipelineSettings.from_parameters(
        {key: value.string_value for key, value in parsed.parameters.items()}
    )
    assert {settings.detector, settings.keypoint_model} < set(PADDLEX_MODELS)


@pytest.mark.parametrize("name", PADDLEX_MODELS)
def test_configurations_for_gpus_follow_from_that_for_cpus(name: str) -> None:
    config = read_config(REPOSITORY / name / "config.pbtxt")
    folder = REPOSITORY / name / "configs"
    assert (folder / "onnxruntime.pbtxt").read_text() == config_text(onnxruntime_config(config))
    tensorrt = tensorrt_config(config, MAX_BATCH_SIZE, {})
    assert (folder / "tensorrt.pbtxt").read_text() == config_text(tensorrt)
    assert {path.name for path in folder.iterdir()} == {"onnxruntime.pbtxt", "tensorrt.pbtxt"}


@reference_data.needed
@pytest.mark.parametrize("name", ["PP-TinyPose_128x96", "PP-TinyPose_256x192"])
def test_keypoint_models_are_configured_as_conversion_does(name: str) -> None:
    source = reference_data.ROOT / "models" / name
    yml = read_inference_yml(source / "inference.yml")
    model = servable_keypoint_model(onnx.load(source / "inference.onnx"), yml)
    parameters = keypoint_parameters(flip_shift=True, use_udp=yml.use_udp)
    written = make_config(name, model, parameters, max_batch_size=MAX_BATCH_SIZE)
    assert config_of(name) == config_text(written)


@reference_data.needed
@pytest.mark.parametrize("name", ["PP-YOLOE-S_human", "PP-YOLOE-L_human"])
def test_detectors_are_configured_as_their_own_file_says(name: str, tmp_path: Path) -> None:
    """Without Paddle; with it, see the end-to-end test of the model repository."""
    yml = yml_in_archive(name, tmp_path)
    detector = ModelRepository(REPOSITORY).detector(name)
    assert (detector.height, detector.width) == (yml.height, yml.width)
    assert detector.keep_ratio == yml.keep_ratio
    assert detector.pad_value == yml.normalization.zero_color()
    assert detector.threshold == pytest.approx(yml.threshold)
    parsed = read_config(REPOSITORY / name / "config.pbtxt")
    assert parsed.parameters["interpolation"].string_value == yml.interpolation


def yml_in_archive(name: str, folder: Path) -> InferenceYml:
    archive = reference_data.ROOT / "models" / "archives" / f"{name}_infer.tar.xz"
    with tarfile.open(archive) as tar:
        content = tar.extractfile(f"{name}/inference.yml")
        assert content is not None
        (folder / "inference.yml").write_bytes(content.read())
    return read_inference_yml(folder / "inference.yml")
