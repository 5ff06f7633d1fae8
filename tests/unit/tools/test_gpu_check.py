"""The check of GPUs, with the CPU in the GPU's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from quantizable_model import install, quantizable_model
from tools.gpu_check import compare, decoding_time, main, photo_rows
from tritonpose_pipeline.repository import CONFIG_FILE, read_config
from tritonpose_server.embedded import device as gpus
from tritonpose_server.models.store import ModelStore
from tritonpose_server.models.tensorrt import NO_GPU
from tritonpose_server.models.triton_config import config_text

HEATMAP = np.zeros((2, 17, 8, 6), np.float32)
SCORES = np.array([[0.9, 0.5, 0.01]], np.float32)
BOXES = np.arange(12, dtype=np.float32).reshape(1, 3, 4)


@pytest.mark.parametrize(
    ("precision", "error", "agrees"),
    [
        ("fp32", 0.0005, True),
        ("fp32", 0.005, False),
        ("fp16", 0.005, True),
        ("fp16", 0.05, False),
        ("fp16", np.nan, False),
    ],
)
def test_heatmaps(precision: str, error: float, agrees: bool) -> None:
    found = HEATMAP.copy()
    found[1, 2, 3, 4] = error
    text, result = compare({"heatmap": HEATMAP}, {"heatmap": found}, precision)
    assert result is agrees
    assert text == f"heatmap {error:.2g}"


@pytest.mark.parametrize(
    ("candidate", "score", "box", "agrees"),
    [
        (0, 0.01, 1.0, True),
        (0, 0.03, 0.0, False),
        (1, 0.0, 3.0, False),
        # Nobody sees a box with a score of 0.01; one that is surer in the result counts.
        (2, 0.01, 50.0, True),
        (2, 0.8, 0.0, False),
        (2, np.nan, 0.0, False),
    ],
)
def test_detections(candidate: int, score: float, box: float, agrees: bool) -> None:
    scores, boxes = SCORES.copy(), BOXES.copy()
    scores[0, candidate] += score
    boxes[0, candidate] += box
    expected = {"boxes": BOXES, "scores": SCORES}
    assert compare(expected, {"boxes": boxes, "scores": scores}, "fp16")[1] is agrees


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path))
    store = ModelStore(tmp_path / "models")
    install(store)
    return store


@pytest.mark.usefixtures("home")
def test_check_of_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "--device", "cpu", "--batch", "2"]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in header.split("|")[1:4]] == ["model", "engine", "precision"]
    assert [row.split("|")[3].strip() for row in rows] == ["fp32", "fp16"]
    assert all(row.split("|")[5].strip() == "yes" for row in rows)


def test_an_engine_that_is_wrong(home: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantizable_model()
    calls: list[str] = []

    def engine_graph(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
        calls.append(precision)
        return quantizable_model(48) if precision == "fp16" else model

    monkeypatch.setattr("tools.gpu_check.engine_graph", engine_graph)
    assert main(["toy", "--device", "cpu", "--batch", "2"]) == 1
    assert calls == ["fp32", "fp16"]
    assert onnx.load(home.model_file("toy")) == model


@pytest.fixture
def both(home: ModelStore) -> ModelStore:
    """A detector, by its configuration, beside the keypoint model."""
    directory = install(home, "finder")
    config = read_config(directory / CONFIG_FILE)
    config.parameters["role"].string_value = "detector"
    (directory / CONFIG_FILE).write_text(config_text(config), "utf-8")
    return home


def rates(detector: str, keypoint: str, agrees: str = "yes") -> list[list[str]]:
    return [
        ["finder", "cuda", "fp32", "0", "yes", detector],
        ["toy", "cuda", "fp32", "0", agrees, keypoint],
        ["toy", "tensorrt", "fp16", "0", "yes", "9"],
    ]


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    ("decoding_s", "expected"),
    [(0.001, ["500", "500", "0.5"]), (0.004, ["500", "250", "2.0"])],
)
def test_photos(decoding_s: float, expected: list[str]) -> None:
    """A photo is one run of the detector and three of the keypoint model; of both or not at all."""
    found = photo_rows(rates("2000", "2000"), decoding_s)
    assert found == [["cuda", "fp32", *expected]]
    assert photo_rows(rates("2000", "2000", "no"), decoding_s) == []


def test_decoding_takes_time() -> None:
    assert decoding_time() > 0


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(gpus, "count_gpus", lambda: 0)
    assert main([]) == NO_GPU
    error = capsys.readouterr().err
    assert error.startswith("error: no NVIDIA GPU is visible here")
    assert error.count("\n") == 1


def test_wrong_devices() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--device", "gpu:x"])
