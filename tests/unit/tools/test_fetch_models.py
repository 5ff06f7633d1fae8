"""Weights for the model repository, where they are and where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import reference_data
from tools.fetch_models import main, put_weights
from tritonpose_server.embedded import resources
from tritonpose_server.models.errors import ConversionError

NAME = "PP-TinyPose_128x96"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    target = tmp_path / "repository"
    shutil.copytree(resources.model_repository() / NAME, target / NAME)
    shutil.rmtree(target / NAME / "1", ignore_errors=True)
    return target


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    target = tmp_path / "converted"
    shutil.copytree(resources.model_repository() / NAME, target)
    (target / "1").mkdir(exist_ok=True)
    (target / "1" / "model.onnx").write_bytes(b"weights")
    return target


def test_weights_are_put_beside_the_configuration(repository: Path, converted: Path) -> None:
    for content in (b"weights", b"newer weights"):
        (converted / "1" / "model.onnx").write_bytes(content)
        weights = put_weights(converted, repository / NAME)
        assert weights == repository / NAME / "1" / "model.onnx"
        assert weights.read_bytes() == content
        assert [path.name for path in weights.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("config", ["config.pbtxt", "configs/onnxruntime.pbtxt"])
def test_weights_of_another_model_are_refused(
    repository: Path, converted: Path, config: str
) -> None:
    path = converted / config
    path.write_text(path.read_text().replace('"true"', '"false"'))
    with pytest.raises(ConversionError, match="is not what conversion writes for this model"):
        put_weights(converted, repository / NAME)
    assert not (repository / NAME / "1").exists()


def test_open_models_do_not_take_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["NanoDet_person_416"]) == 1
    error = capsys.readouterr().err
    assert "'NanoDet_person_416' is not a model of PaddleX's: choose from PP-YOLOE-S" in error
    assert "tritonpose models export" in error


def test_a_folder_without_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", str(tmp_path), NAME]) == 1
    assert f"neither a directory {NAME} nor an archive {NAME}_infer.tar" in capsys.readouterr().err


def test_hosts_that_can_not_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path))
    # A proxy that nobody runs: nothing is reached, whatever this machine's network.
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert main([NAME]) == 1
    error = capsys.readouterr().err
    assert f"{NAME} can't be fetched" in error
    assert "pass their directory as --from, or name a mirror in $TRITONPOSE_MODEL_MIRROR" in error


@reference_data.needed
def test_a_model_that_is_there(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = reference_data.ROOT / "models"
    assert main(["--from", str(models), "--repository", str(repository), NAME]) == 0
    weights = repository / NAME / "1" / "model.onnx"
    assert capsys.readouterr().out.splitlines() == [str(weights)]
    assert weights.stat().st_size > 1_000_000
