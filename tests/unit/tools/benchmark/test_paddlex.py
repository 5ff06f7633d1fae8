"""PaddleX's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.benchmark.paddlex import check_same_models, paddlex_config
from tools.errors import ToolError
from tritonpose.config import DetectorConfig, PipelineConfig


def test_paddlex_is_asked_for_the_same() -> None:
    mine = DetectorConfig(model_name="Mine", model_dir=Path("/mine"), threshold=0.0)
    detection, keypoints = paddlex_config(PipelineConfig(mine))["SubModules"].values()
    assert (detection["model_name"], detection["model_dir"]) == ("Mine", "/mine")
    assert detection["threshold"] == 0
    # Left to PaddleX.
    assert keypoints["use_udp"] is keypoints["model_dir"] is None
    models = [Path("models/NanoDet_person_416"), Path("models/PP-TinyPose_128x96")]
    with pytest.raises(ToolError, match=r"the open model NanoDet_person_416: .*--detector"):
        check_same_models(PipelineConfig(), models)
