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
from tools.errors import BenchmarkError
from tritonpose.config import DetectorConfig, KeypointConfig, PipelineConfig


def test_defaults_are_left_to_it() -> None:
    content = paddlex_config(PipelineConfig())
    assert content["pipeline_name"] == "human_keypoint_detection"
    modules = content["SubModules"]
    assert modules["ObjectDetection"] == {
        "module_name": "object_detection",
        "model_name": "PP-YOLOE-S_human",
        "model_dir": None,
        "batch_size": 1,
        "threshold": None,
    }
    assert modules["KeypointDetection"] == {
        "module_name": "keypoint_detection",
        "model_name": "PP-TinyPose_128x96",
        "model_dir": None,
        "batch_size": 1,
        "flip": False,
        "use_udp": None,
    }
    assert "engine" not in content


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
    # The name that the model's own file says.
    assert keypoints["model_name"] == "PP-TinyPose_32x24"
    assert keypoints["model_dir"] == str(tmp_path / "model")
    assert keypoints["flip"] is True
    assert keypoints["use_udp"] is False


def test_threads() -> None:
    content = paddlex_config(PipelineConfig())
    told = with_threads(content, 3)
    assert told["engine_config"] == {"cpu_threads": 3}
    assert told["SubModules"] == content["SubModules"]
    assert "engine_config" not in content


@pytest.mark.parametrize(
    ("cores", "expected"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])]
)
def test_thread_candidates(cores: int, expected: list[int]) -> None:
    assert thread_candidates(cores) == expected


def test_open_models_can_not_be_compared() -> None:
    models = [Path("models/NanoDet_person_416"), Path("models/PP-TinyPose_128x96")]
    with pytest.raises(BenchmarkError, match=r"the open model NanoDet_person_416: .*--detector"):
        check_same_models(PipelineConfig(), models)
    own = PipelineConfig(DetectorConfig(model_dir=Path("/mine")))
    check_same_models(own, models)
