"""Where a search begins, and that whatever ends it leaves what is best so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaves import DETECTOR_PARAMETERS, KEYPOINT_PARAMETERS, config_text, write_config
from tritonpose.errors import TritonPoseError
from tritonpose_server.device import Device
from tritonpose_server.model_choice import ModelChoice
from tritonpose_server.photos import Photo
from tritonpose_server.staging import PipelineSettings
from tritonpose_server.tuning import run
from tritonpose_server.tuning.figures import Comparison, Figures, Sample
from tritonpose_server.tuning.run import Job, Outcome, tune, untuned
from tritonpose_server.tuning.settings import LeafTuning, PipelineTuning, Tuning

FIGURES = Figures({1: Sample(10, 100, 110)}, 1000)
WIN, LOSS = (Comparison((ratio,) * 3, FIGURES, FIGURES) for ratio in (1.2, 0.8))


@pytest.fixture
def choice(tmp_path: Path) -> ModelChoice:
    """The keypoint model comes first, and has a setting of its own."""
    keypoint = config_text({**KEYPOINT_PARAMETERS, "NUM_STREAMS": "3"})
    leaves = [
        write_config(tmp_path, name, f'name: "{name}" backend: "openvino"\n{text}').parent
        for name, text in (("kpt", keypoint), ("det", config_text(DETECTOR_PARAMETERS)))
    ]
    return ModelChoice(tuple(leaves), PipelineSettings("det", "kpt"))


def test_on_the_cpu(choice: ModelChoice) -> None:
    assert untuned(choice, None, 8) == Tuning(
        detector=LeafTuning(1, 4, 8, 4, 0),
        keypoint_model=LeafTuning(1, 3, 8, 4, 0),
        pipeline=PipelineTuning(32, 8, 128),
    )


def test_on_gpus(choice: ModelChoice) -> None:
    tuning = untuned(choice, Device((0, 1)), 8)
    # Threads mean nothing there, and the backend chooses the streams that nobody configured.
    assert tuning.detector == LeafTuning(1, None, None, 4, 0)
    assert tuning.keypoint_model == LeafTuning(1, 3, None, 4, 0)


class GivenArena:
    """Gives the comparisons it was told, and raises what is among them."""

    script: list[Comparison | BaseException]
    at_the_end: BaseException | None

    def __init__(self, *_: object) -> None:
        self.comparison_seconds = 10.0

    def __enter__(self) -> GivenArena:
        return self

    def __exit__(self, *_: object) -> None:
        if self.at_the_end is not None:
            raise self.at_the_end

    def start(self, _: Tuning) -> float:
        return 5.0

    def measure(self, _: float) -> Figures:
        return FIGURES

    def compare(self, _best: Tuning, _candidate: Tuning) -> Comparison:
        step = self.script.pop(0) if self.script else LOSS
        if isinstance(step, BaseException):
            raise step
        return step


def search(
    monkeypatch: pytest.MonkeyPatch, choice: ModelChoice, script: list[Any], **further: Any
) -> Outcome:
    """Tunes for 8 cores, where the first change is one of the keypoint model's 3 streams to 4."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    arena = type("Arena", (GivenArena,), {"script": script, "at_the_end": None, **further})
    for name, stand_in in {
        "Arena": arena,
        "choose_models": lambda *_: choice,
        "choose_photos": lambda *_: ["photo.png"],
        "read_photo": lambda _: Photo(pixels, pixels),
        "available_cores": lambda: 8,
    }.items():
        monkeypatch.setattr(run, name, stand_in)
    job = Job("human_keypoint_detection", [Path("photos")], None, 600.0, (1,))
    return tune(job, lambda _: None, lambda _: None)


def test_a_gain_is_checked_once_more(monkeypatch: pytest.MonkeyPatch, choice: ModelChoice) -> None:
    outcome = search(monkeypatch, choice, [WIN])
    assert outcome.best == outcome.start.with_values({"keypoint_model.streams": 4})
    assert (outcome.check, outcome.confirmed, outcome.interrupted) == (LOSS, True, False)


def test_a_gain_that_is_not_confirmed_is_dropped(
    monkeypatch: pytest.MonkeyPatch, choice: ModelChoice
) -> None:
    changes = len(search(monkeypatch, choice, [WIN]).trials)
    # The setting without tuning is as fast when it is its turn again.
    even = Comparison((1.0, 1.0, 1.0), FIGURES, FIGURES)
    outcome = search(monkeypatch, choice, [WIN, *[LOSS] * (changes - 1), even])
    assert (outcome.best, outcome.confirmed) == (outcome.start, False)


@pytest.mark.parametrize(
    ("script", "at_the_end", "interrupted", "failure"),
    [
        ([WIN, KeyboardInterrupt()], None, True, ""),
        ([WIN, TritonPoseError("gone")], None, False, "gone"),
        # While the servers are stopped.
        ([WIN], KeyboardInterrupt(), True, ""),
    ],
)
def test_the_best_so_far_is_kept_whatever_ends_it(
    monkeypatch: pytest.MonkeyPatch,
    choice: ModelChoice,
    script: list[Any],
    at_the_end: BaseException | None,
    interrupted: bool,
    failure: str,
) -> None:
    outcome = search(monkeypatch, choice, script, at_the_end=at_the_end)
    assert outcome.best == outcome.start.with_values({"keypoint_model.streams": 4})
    assert (outcome.interrupted, outcome.failure) == (interrupted, failure)


def test_nothing_is_kept_before_anything_was_measured(
    monkeypatch: pytest.MonkeyPatch, choice: ModelChoice
) -> None:
    def interrupted(*_: object) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(monkeypatch, choice, [], start=interrupted)
