"""Weights for the model repository, where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.fetch_models import put_weights
from tritonpose_server.embedded import resources
from tritonpose_server.models.errors import ConversionError


@pytest.mark.parametrize("config", ["config.pbtxt", "configs/onnxruntime.pbtxt"])
def test_weights_of_another_model_are_refused(tmp_path: Path, config: str) -> None:
    model, converted = tmp_path / "model", tmp_path / "converted"
    for target in (model, converted):
        shutil.copytree(resources.model_repository() / "PP-TinyPose_128x96", target)
        shutil.rmtree(target / "1", ignore_errors=True)
    (converted / "1").mkdir()
    (converted / "1" / "model.onnx").write_bytes(b"weights")
    assert put_weights(converted, model).read_bytes() == b"weights"
    path = converted / config
    path.write_text(path.read_text().replace('"true"', '"false"'))
    with pytest.raises(ConversionError, match="is not what conversion writes for this model"):
        put_weights(converted, model)
