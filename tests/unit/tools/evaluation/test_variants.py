"""Which variants a command line means, and what is asked of the server for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.evaluation.variants import Variant, pair_models, with_models
from tritonpose.config import DetectorConfig, KeypointConfig, PipelineConfig


@pytest.mark.parametrize(
    ("detectors", "keypoint_models", "expected"),
    [
        ([], [], [(None, None)]),
        (["d"], [], [("d", None)]),
        ([], ["k", "l"], [(None, "k"), (None, "l")]),
        (["d"], ["k", "l"], [("d", "k"), ("d", "l")]),
        (["d", "e"], ["k"], [("d", "k"), ("e", "k")]),
        (["d", "e"], ["k", "l"], [("d", "k"), ("e", "l")]),
    ],
)
def test_pairs(
    detectors: list[str],
    keypoint_models: list[str],
    expected: list[tuple[str | None, str | None]],
) -> None:
    variants = pair_models(detectors, keypoint_models, flip=True)
    assert variants == [Variant(*names, flip=True) for names in expected]


def test_numbers_that_can_not_be_paired() -> None:
    with pytest.raises(ToolError, match="2 detectors and 3 keypoint models"):
        pair_models(["d", "e"], ["k", "l", "m"])


def test_models_of_a_pipeline(tmp_path: Path) -> None:
    config = PipelineConfig(
        DetectorConfig(model_name="mine", model_dir=Path("/models/mine"), threshold=0.3),
        KeypointConfig(model_name="other", model_dir=Path("/models/other"), flip=True),
    )
    by_name = with_models(config, Variant("mine", "MoveNet-Lightning_256x192"))
    assert by_name.detector == config.detector
    assert by_name.keypoint == KeypointConfig(model_name="MoveNet-Lightning_256x192", flip=True)
    by_directory = with_models(config, Variant(str(tmp_path)))
    assert by_directory.detector == DetectorConfig(model_dir=tmp_path, threshold=0.3)
    assert by_directory.keypoint == config.keypoint
