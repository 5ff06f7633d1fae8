"""What is planned, and how it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tritonpose_server.tuning.defaults import default_tuning
from tritonpose_server.tuning.figures import Comparison, Figures, Sample
from tritonpose_server.tuning.report import conclusion, file_header, table, trial_line
from tritonpose_server.tuning.run import Job, Outcome, forecast, measurement_seconds
from tritonpose_server.tuning.search import Trial

START = default_tuning(2)
BEST = START.with_values({"pipeline.workers": 16})
BEFORE = Figures({1: Sample(20.04, 50, 55), 4: Sample(40, 98, 130)}, 500_000_000)
AFTER = Figures({1: Sample(22, 45, 50), 4: Sample(44, 90, 120)}, 610_000_000)
WIN = Comparison((1.09, 1.10, 1.11), AFTER, BEFORE)
LOSS = Comparison((0.8,), BEFORE, AFTER)
FAILURE = Comparison(failure="no memory\nat all")
JOB = Job("human_keypoint_detection", [Path("photos")], None, 300.0, (1, 4))

UNTUNED = Outcome(START, BEFORE, START, ("det", "kpt"), seconds=20.4)
TUNED = replace(
    UNTUNED,
    best=BEST,
    trials=[
        Trial("pipeline.workers", 8, 16, WIN),
        Trial("pipeline.workers", 16, 32, LOSS),
        Trial("detector.instances", 1, 2, FAILURE),
    ],
    check=Comparison((0.9, 0.89, 0.91), BEFORE, AFTER),
)


def test_trials() -> None:
    assert [trial_line(trial) for trial in TUNED.trials] == [
        "pipeline.workers 8 -> 16: x 1.10 (1.09 to 1.11), kept",
        "pipeline.workers 16 -> 32: x 0.80 (0.80 to 0.80), not kept",
        "detector.instances 1 -> 2: failed: no memory",
    ]


def test_table() -> None:
    lines = table(TUNED).splitlines()
    rows = [line.split() for line in lines[1:6]]
    assert rows[0][2:] == ["20.0", "40.0", "50.0", "98.0", "130.0", "500"]
    assert rows[1][:4] == ["pipeline.workers", "8", "->", "16"]
    assert rows[1][4:10] == ["22.0", "44.0", "45.0", "90.0", "120.0", "610"]
    assert lines[4].endswith(" failed: no memory")
    assert lines[5].startswith("without tuning, again ")
    # Columns stand below each other.
    assert {line.index(" 500") for line in (lines[1], lines[5])} == {lines[2].index(" 610")}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (UNTUNED, "no setting was faster than none"),
        (TUNED, "fastest: pipeline.workers 8 -> 16: 1.11 times as fast as without tuning"),
        (replace(TUNED, check=None), "fastest: pipeline.workers 8 -> 16"),
        (
            replace(TUNED, best=START, confirmed=False),
            "no setting was faster than none when compared once more",
        ),
    ],
)
def test_conclusion(outcome: Outcome, words: str) -> None:
    assert conclusion(outcome) == words


def test_head_of_the_file() -> None:
    text = "\n".join(file_header(TUNED, JOB, 2, Path("fast.yaml")))
    assert "2 cores; device as configured." in text
    assert "Models: det and kpt. Images: photos." in text
    assert "Changes tried: 3, in 20 s; fastest: pipeline.workers 8 -> 16" in text
    assert "Without tuning: 20.0, 40.0 images/s and 50.0, 98.0 ms (median) with 1, 4" in text
    assert "With this file: 22.0, 44.0 images/s" in text
    assert text.endswith("Use it: tritonpose serve --tuning fast.yaml")


def test_head_of_the_file_where_nothing_is_better_or_it_was_interrupted() -> None:
    text = "\n".join(file_header(UNTUNED, JOB, 2, Path("fast.yaml")))
    assert "With this file" not in text
    interrupted = replace(TUNED, check=None, interrupted=True)
    text = "\n".join(file_header(interrupted, JOB, 2, Path("fast.yaml")))
    assert ", interrupted; fastest: " in text
    assert "With this file: 22.0, 44.0" in text
    failed = replace(TUNED, check=None, failure="no answer\nat all")
    text = "\n".join(file_header(failed, JOB, 2, Path("fast.yaml")))
    assert ", ended by an error (no answer); fastest: " in text


@pytest.mark.parametrize(
    ("seconds", "each"),
    # Twelve comparisons, each with 7 s for a start and 12 measurements.
    [(300, 1.5), (1, 0.3), (10_000, 2.0), (228, 1.0)],
)
def test_time_is_spread(seconds: float, each: float) -> None:
    assert measurement_seconds(seconds, 10, 7.0, 2) == pytest.approx(each)


def test_forecast() -> None:
    assert forecast(300, 9, 20).startswith(
        "changes to try: 9 or more, each compared in 20 s; about 200 s; Ctrl-C"
    )
    assert "100 s are enough for 4 of them, 200 s would be for all" in forecast(100, 9, 20)
    # One is tried however little time there is, and the best compared with none in the end.
    assert "40 s are enough for 1 of them, " in forecast(1, 9, 20)
