"""PaddleX's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_networks import inference_yml, write_model_directory
from tools.benchmark.paddlex import (
    check_same_models,
    paddlex_config,
    thread_candidates,
    with_threads,
)
from tools.errors import ToolError
from tritonpose.config import DetectorConfig, KeypointConfig, PipelineConfig


def test_what_a_pipeline_leaves_open_is_left_to_paddlex() -> None:
    content = paddlex_config(PipelineConfig())
    detection, keypoints = content["SubModules"].values()
    assert detection["threshold"] is keypoints["use_udp"] is keypoints["model_dir"] is None
    assert "imgsz" not in detection
    assert "engine_config" not in content
    assert with_threads(content, 3)["engine_config"] == {"cpu_threads": 3}


def test_models_and_settings_of_a_pipeline(tmp_path: Path) -> None:
    write_model_directory(tmp_path / "model", None, inference_yml("keypoint", 32, 24))
    config = PipelineConfig(
        DetectorConfig(
            model_name="Mine", model_dir=Path("/models/mine"), threshold=0.0, img_size=(320, 416)
        ),
        KeypointConfig(model_dir=tmp_path / "model", flip=True, use_udp=False),
    )
    modules = paddlex_config(config)["SubModules"]
    detection, keypoints = modules["ObjectDetection"], modules["KeypointDetection"]
    assert detection["model_name"] == "Mine"
    assert detection["model_dir"] == "/models/mine"
    assert detection["threshold"] == 0
    assert detection["imgsz"] == [320, 416]
    # The name in the model's own file.
    assert keypoints["model_name"] == "PP-TinyPose_32x24"
    assert keypoints["model_dir"] == str(tmp_path / "model")
    assert keypoints["flip"] is True
    assert keypoints["use_udp"] is False


@pytest.mark.parametrize(
    ("cores", "expected"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])]
)
def test_thread_candidates(cores: int, expected: list[int]) -> None:
    assert thread_candidates(cores) == expected


def test_open_models_can_not_be_compared() -> None:
    models = [Path("models/NanoDet_person_416"), Path("models/PP-TinyPose_128x96")]
    with pytest.raises(ToolError, match=r"the open model NanoDet_person_416: .*--detector"):
        check_same_models(PipelineConfig(), models)
    own = PipelineConfig(DetectorConfig(model_dir=Path("/mine")))
    check_same_models(own, models)
