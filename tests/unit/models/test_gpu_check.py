"""The check of GPUs: comparison, measuring, report and command; engines of the CPU stand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantizable_model import HEIGHT, WIDTH, images, quantizable_model
from tools.gpu_check import engines
from tools.gpu_check.__main__ import NO_GPU, main
from tools.gpu_check.compare import compare
from tools.gpu_check.engines import Engine, Model
from tools.gpu_check.measure import Speed, measure
from tools.gpu_check.report import Trial, as_json, as_markdown
from tools.gpu_check.trials import try_engines
from tritonpose_server.embedded import gpus

HEATMAP = np.zeros((2, 17, 8, 6), np.float32)
SCORES = np.array([[0.9, 0.5, 0.01]], np.float32)
BOXES = np.arange(12, dtype=np.float32).reshape(1, 3, 4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "toy.onnx"
    onnx.save(quantizable_model(), path)
    return path


@pytest.fixture
def servable(model: Path) -> Model:
    return Model("toy", model, onnx.load(model), max_batch=8)


class Altered:
    """The CPU's results, changed."""

    def __init__(self, model: Model, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self._runner = engines.reference(model)
        self._change = change
        self.batches: list[int] = []

    def run(self, batch: np.ndarray) -> list[Any]:
        self.batches.append(len(batch))
        return [self._change(output) for output in self._runner.run(batch)]


# --- comparison ---


@pytest.mark.parametrize(
    ("precision", "error", "within"),
    [("fp32", 0.0005, True), ("fp32", 0.005, False), ("fp16", 0.005, True), ("fp16", 0.05, False)],
)
def test_heatmaps(precision: Any, error: float, within: bool) -> None:
    found = HEATMAP.copy()
    found[1, 3, 2, 1] -= error
    difference = compare(["heatmap"], [HEATMAP], [found], precision)
    assert difference.heatmap == pytest.approx(error)
    assert difference.within is within
    assert difference.score is difference.box_px is None


def compare_candidates(boxes: np.ndarray, scores: np.ndarray) -> tuple[Any, Any, bool]:
    difference = compare(["boxes", "scores"], [BOXES, SCORES], [boxes, scores], "fp16")
    return difference.score, difference.box_px, difference.within


def test_boxes_of_likely_candidates_count() -> None:
    moved = BOXES.copy()
    moved[0, 2] += 100
    assert compare_candidates(moved, SCORES) == (0, 0, True)
    moved[0, 1, 3] += 5
    assert compare_candidates(moved, SCORES) == (0, 5, False)


def test_a_candidate_that_only_the_engine_finds_counts() -> None:
    scores = SCORES.copy()
    scores[0, 2] = 0.6
    score, _, within = compare_candidates(BOXES, scores)
    assert score == pytest.approx(0.59)
    assert not within


def test_where_no_candidate_is_likely_the_best_ones_count() -> None:
    scores = np.array([[0.02, 0.015, 0.001]], np.float32)
    found = np.array([[0.02, 0.045, 0.001]], np.float32)
    difference = compare(["boxes", "scores"], [BOXES, scores], [BOXES, found], "fp16")
    assert not difference.within


@pytest.mark.parametrize("output", ["boxes", "scores"])
def test_nan_is_no_agreement(output: str) -> None:
    found = {"boxes": BOXES.copy(), "scores": SCORES.copy()}
    found[output].reshape(-1)[0] = np.nan
    assert not compare_candidates(found["boxes"], found["scores"])[2]
    assert not compare(["heatmap"], [HEATMAP], [HEATMAP * np.nan], "fp16").within


def test_other_shapes_are_no_agreement() -> None:
    assert not compare(["heatmap"], [HEATMAP], [HEATMAP[:1]], "fp16").within


# --- trials ---


def test_an_engine_that_agrees(model: Model) -> None:
    runner = Altered(model, lambda output: output + np.float32(0.001))
    engine = Engine("E", "fp16", lambda _: runner)
    (trial,) = try_engines(model, [engine], [1, 4, 16], 0.0, lambda _: None)
    assert trial.passed
    assert trial.difference is not None
    assert trial.difference.heatmap == pytest.approx(0.001, rel=0.01)
    # The largest batch of the model is 8.
    assert [speed.batch for speed in trial.speeds] == [1, 4]
    assert set(runner.batches) == {8, 1, 4}


def test_an_engine_that_fails_does_not_stop_the_others(model: Model) -> None:
    def fail(_: Model) -> Any:
        raise RuntimeError("no\n  such library")

    def agree(model: Model) -> Any:
        return Altered(model, lambda output: output)

    tried = [Engine("bad", "fp32", fail), Engine("good", "fp32", agree)]
    bad, good = try_engines(model, tried, [1], 0.0, lambda _: None)
    assert (bad.passed, bad.error) == (False, "RuntimeError: no such library")
    assert good.passed


def test_speed(model: Model) -> None:
    runner = Altered(model, lambda output: output)
    speed = measure(runner, np.stack(images(2)), 3, 0.0)
    assert set(runner.batches) == {3}
    assert (speed.batch, speed.runs) == (3, 3)
    assert speed.per_second > 0
    assert speed.median_ms > 0


# --- report ---

TRIALS = [
    Trial(
        "kpt",
        "TensorRT",
        "fp16",
        compare(["heatmap"], [HEATMAP], [HEATMAP + np.float32(0.004)], "fp16"),
        (Speed(1, 900.4, 1.1, 50), Speed(8, 4000.0, 2.0, 50)),
    ),
    Trial("kpt", "PyTorch", "fp32", None, (), "RuntimeError: no"),
]


def test_markdown() -> None:
    lines = as_markdown(TRIALS, {"Python": "3.11", "GPU": "X"}).splitlines()
    assert lines[0].endswith("Python 3.11, GPU X.")
    assert "| model | engine | precision | differs by | agrees | 1 | 8 |" in lines
    assert "| kpt | TensorRT | FP16 | heatmap 0.004 | yes | 900 | 4000 |" in lines
    assert "| kpt | PyTorch | FP32 |  | no |  |  |" in lines
    assert lines[-1] == "- kpt, PyTorch, fp32: RuntimeError: no"


def test_json() -> None:
    content = json.loads(as_json(TRIALS, {"GPU": "X"}))
    assert content["machine"] == {"GPU": "X"}
    assert content["trials"][0]["speeds"][1]["per_second"] == 4000.0
    assert content["trials"][1]["error"] == "RuntimeError: no"


# --- the command ---


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpus, "count_gpus", lambda: 0)
    assert main([]) == NO_GPU == 3
    error = capsys.readouterr().err
    assert error.startswith("error: no NVIDIA GPU is visible here")
    assert error.count("\n") == 1


def test_the_whole_of_it_on_the_cpu(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime against OpenVINO, both of them real."""
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    command = [str(model), "--device", "cpu", "--batches", "1,8", "--seconds", "0"]
    assert main([*command, *files]) == 0
    table = capsys.readouterr().out
    assert "| toy | OpenVINO, CPU | FP32 |" in table
    assert (tmp_path / "a.md").read_text() == table
    trial = json.loads((tmp_path / "a.json").read_text())["trials"][0]
    assert trial["difference"]["within"]
    assert trial["difference"]["heatmap"] < 1e-3
    assert [speed["batch"] for speed in trial["speeds"]] == [1, 8]


def test_disagreement_is_an_exit_status(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Engine("wrong", "fp32", lambda servable: Altered(servable, lambda output: output + 1))
    monkeypatch.setattr(engines, "cpu_engines", lambda: [wrong])
    assert main([str(model), "--device", "cpu", "--batches", "1", "--seconds", "0"]) == 1
    assert "| no |" in capsys.readouterr().out


def test_a_model_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path))
    assert main(["nobody", "--device", "cpu"]) == 1
    assert "no model 'nobody' is installed" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--device", "cuda"], ["--batches", "0"], ["--batches", "64"]])
def test_wrong_command_lines(wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(wrong)


def test_the_toys_size() -> None:
    """What the tests above take for granted."""
    shape = quantizable_model().graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in shape[1:]] == [HEIGHT, WIDTH, 3]
