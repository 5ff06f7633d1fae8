"""A model repository for a Triton of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded import resources
from tritonpose_server.embedded.staging import HPS, PIPELINE
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.export import CPU_CONFIG, export_repository

MODEL = """
name: "{name}"
backend: "openvino"
max_batch_size: 32
default_model_filename: "model.onnx"
instance_group {{ kind: KIND_CPU count: 1 }}
parameters {{ key: "role" value {{ string_value: "detector" }} }}
parameters {{ key: "NUM_STREAMS" value {{ string_value: "3" }} }}
"""


def make_model(folder: Path, name: str) -> Path:
    directory = folder / "store" / name
    (directory / "1").mkdir(parents=True)
    (directory / "1" / "model.onnx").write_text(f"model of {name}")
    (directory / "config.pbtxt").write_text(MODEL.format(name=name))
    return directory


def read(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(), ModelConfig())


def test_repository_is_complete(tmp_path: Path) -> None:
    models = [make_model(tmp_path, name) for name in ("det", "kpt")]
    target = tmp_path / "new" / "models"
    export_repository(target, models, PipelineSettings("det", "kpt", threshold=0.25, flip=True))
    assert {path.name for path in target.iterdir()} == {"det", "kpt", PIPELINE, HPS}
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert not list(target.rglob("__pycache__"))
    for model in (PIPELINE, HPS):
        source = resources.model_repository() / model / "1"
        for path in source.rglob("*.py"):
            copy = target / model / "1" / path.relative_to(source)
            assert copy.read_text() == path.read_text()
    parameters = {
        key: value.string_value
        for key, value in read(target / PIPELINE / "config.pbtxt").parameters.items()
    }
    # The models lie beside it.
    assert "model_repositories" not in parameters
    defaults = PipelineSettings.from_parameters(parameters)
    assert (defaults.detector, defaults.keypoint_model) == ("det", "kpt")
    assert (defaults.threshold, defaults.flip) == (0.25, True)
    assert ModelRepository(target).names("detector") == ["det", "kpt"]


def test_models_get_a_configuration_for_onnxruntime(tmp_path: Path) -> None:
    source = make_model(tmp_path, "one")
    (source / "configs").mkdir()
    (source / "configs" / "tensorrt.pbtxt").write_text("of another engine")
    export_repository(tmp_path / "models", [source], PipelineSettings("one", "one"))
    copy = tmp_path / "models" / "one"
    assert (copy / "1" / "model.onnx").read_text() == "model of one"
    assert (copy / "config.pbtxt").read_text() == (source / "config.pbtxt").read_text()
    assert (copy / "configs" / "tensorrt.pbtxt").read_text() == "of another engine"
    expected = read(source / "config.pbtxt")
    expected.backend = "onnxruntime"
    assert expected.instance_group[0].kind == ModelInstanceGroup.KIND_CPU
    assert read(copy / "configs" / f"{CPU_CONFIG}.pbtxt") == expected
    assert not (source / "configs" / f"{CPU_CONFIG}.pbtxt").exists()


def test_written_again(tmp_path: Path) -> None:
    """What has a name that is written is replaced; anything else is none of our business."""
    source = make_model(tmp_path, "one")
    target = tmp_path / "models"
    export_repository(target, [source], PipelineSettings("one", "one"))
    (target / "one" / "1" / "model.plan").write_text("an old engine")
    (target / "another").mkdir()
    (source / "1" / "model.onnx").write_text("a newer model")
    export_repository(target, [source], PipelineSettings("one", "one", flip=True))
    assert [path.name for path in (target / "one" / "1").iterdir()] == ["model.onnx"]
    assert (target / "one" / "1" / "model.onnx").read_text() == "a newer model"
    assert {path.name for path in target.iterdir()} == {"one", "another", PIPELINE, HPS}


@pytest.mark.parametrize(
    ("default", "words"),
    [
        ("two", "'two' is to be used by default but is not among"),
        ("one", r"can't write the model 'one' to .*models"),
    ],
)
def test_a_default_that_is_not_there_and_a_target_that_is_a_file(
    tmp_path: Path, default: str, words: str
) -> None:
    target = tmp_path / "models"
    target.write_text("")
    with pytest.raises(EmbeddedServerError, match=words):
        export_repository(target, [make_model(tmp_path, "one")], PipelineSettings("one", default))
    assert target.read_text() == ""
