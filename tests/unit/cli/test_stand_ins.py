"""Open models that stand in for PaddleX's: where commands show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tritonclient.grpc.model_config_pb2 import ModelConfig

from paddle_networks import keypoint_network
from tritonpose.cli import main
from tritonpose.cli.stand_ins import stand_in_detector
from tritonpose.config import DetectorConfig, PipelineConfig
from tritonpose_server.models.catalog import (
    DEFAULT_DETECTOR,
    DEFAULT_KEYPOINT_MODEL,
    PADDLEX_MODELS,
)
from tritonpose_server.models.commands import default_store
from tritonpose_server.models.store import ModelFiles

FILE = "mine.yaml"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def put(name: str, role: str) -> None:
    config = ModelConfig()
    config.parameters["role"].string_value = role
    default_store().add(name, ModelFiles(keypoint_network(), config, {"source": "nowhere"}))


def listed(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], dict[str, str]]:
    """What ``models list`` prints about stand-ins: as text, and as JSON by PaddleX's names."""
    assert main(["models", "list"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "stands in" in line]
    assert main(["models", "list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    return lines, {entry["name"]: entry["stand_in"] for entry in entries if entry["stand_in"]}


def test_nothing_stands_in_where_nothing_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys) == ([], {})
    assert main(["config", "--save_path", FILE]) == 0
    assert not Path(FILE).read_text().startswith("#")


def test_stand_ins_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    put(DEFAULT_DETECTOR, "detector")
    put(DEFAULT_KEYPOINT_MODEL, "keypoint")
    put("PP-TinyPose_128x96", "keypoint")
    lines, stand_ins = listed(capsys)
    assert stand_ins == {
        "PP-YOLOE-S_human": DEFAULT_DETECTOR,
        "PP-YOLOE-L_human": DEFAULT_DETECTOR,
        "PP-TinyPose_256x192": DEFAULT_KEYPOINT_MODEL,
    }
    assert len(lines) == 3
    assert f"{DEFAULT_DETECTOR} stands in for PP-YOLOE-S_human as long" in lines[0]
    assert set(stand_ins) < set(PADDLEX_MODELS)

    assert main(["config", "--save_path", FILE]) == 0
    text = Path(FILE).read_text()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    # Of the file's own models, the keypoint model is installed.
    assert len(comments) == 2
    assert "PP-YOLOE-S_human" in comments[0]
    assert DEFAULT_DETECTOR in comments[0]
    assert yaml.safe_load(text)["pipeline_name"] == "human_keypoint_detection"


def test_the_detector_that_stands_in(tmp_path: Path) -> None:
    """Of a configuration that names one of PaddleX's, or none."""
    assert stand_in_detector(PipelineConfig()) is None
    put(DEFAULT_DETECTOR, "detector")
    assert stand_in_detector(PipelineConfig()) == DEFAULT_DETECTOR
    for detector in (
        DetectorConfig(model_name=DEFAULT_DETECTOR),
        DetectorConfig(model_name="PP-YOLOE-S_human", model_dir=tmp_path),
    ):
        assert stand_in_detector(PipelineConfig(detector)) is None
    put("PP-YOLOE-S_human", "detector")
    assert stand_in_detector(PipelineConfig()) is None
