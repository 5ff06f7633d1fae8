"""Latency, throughput and answers, of contestants whose figures are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contestants import NOBODY, GivenContestant
from poses import people
from tools.benchmark.figures import cost_per_person, figure, measurement
from tools.benchmark.machine import Watch
from tools.benchmark.measure import (
    measure_latency,
    measure_throughput,
    request_overhead,
)
from tools.benchmark.run import compare_answers
from tools.benchmark.workload import QUICK, Sample, Scene, Workload, threshold_for
from tritonpose.transport.messages import PoseResponse

SAMPLES = [Sample(Path("a.jpg")), Sample(Path("b.jpg"))]
RIGHT = people(3)
WORKLOAD = Workload(
    photos=(Sample(Path("a.jpg")),),
    persons={"9": Sample(Path("crowd.jpg"), 0.3)},
    sizes={"12 MP": Sample(Path("large.jpg"))},
    scene=Scene(Path("a.jpg"), RIGHT.keypoints),
)


def test_latency() -> None:
    plan = replace(QUICK, rounds=2, latency_samples=3)
    # Two passes over two images in each of two rounds.
    rival = GivenContestant("rival", "rival", seconds=[0.1, 0.2, 0.1, 0.2, 0.2, 0.4, 0.2, 0.4])
    ours = GivenContestant("ours", seconds=[0.01, 0.02, 0.01, 0.02, 0.02, 0.04, 0.02, 0.04])
    everyone = [rival, ours]
    found, milliseconds = measure_latency(everyone, SAMPLES, plan, Watch(everyone))
    assert milliseconds["ours"].shape == (2, 2, 2)
    assert milliseconds["ours"][1, 0].tolist() == [20, 40]
    cases = {case["label"]: case for case in found["cases"]}
    assert cases["mean"]["figures"]["rival"]["rounds"] == pytest.approx([150, 300])
    assert cases["p50"]["figures"]["ours"]["value"] == pytest.approx(20)
    for case in cases.values():
        (ratio,) = case["ratios"]
        assert ratio["rounds"] == pytest.approx([10, 10])


def test_throughput() -> None:
    plan = replace(QUICK, rounds=2, rate_seconds=1.0, concurrencies=(1, 8))
    calls: list[str] = []
    # Of each concurrency: a probe, then two rounds.
    serial = GivenContestant("serial", "rival", parallel=False, rates=[3, 2, 4], calls=calls)
    ours = GivenContestant("ours", rates=[11, 10, 12, 30, 39, 41], calls=calls)
    everyone = [serial, ours]
    throughput, cpu = measure_throughput(everyone, SAMPLES, plan, Watch(everyone))
    # As many whole passes as take a second, and at least as many images as are in flight.
    assert calls[:2] == ["serial rates 1 0 2", "ours rates 1 0 2"]
    assert calls[2:4] == ["serial rates 1 1 4", "ours rates 1 1 12"]
    assert calls[6:] == ["ours rates 8 0 2", "ours rates 8 8 30", "ours rates 8 8 30"]
    figures = {
        case["label"]: {key: each["value"] for key, each in case["figures"].items()}
        for case in throughput["cases"]
    }
    assert figures == {
        "1": {"serial": 3, "ours": 11},
        "8": {"serial": 3, "ours": 40},
        "best": {"serial": 3, "ours": 40},
    }
    (ratio,) = throughput["cases"][-1]["ratios"]
    assert ratio["rounds"] == [39 / 2, 41 / 4]
    assert cpu["better"] == "lower"


@pytest.mark.parametrize(("unit", "expected"), [("images/s", [4, 8]), ("ms", [1 / 4, 1 / 8])])
def test_ratios_are_those_of_the_rounds(unit: str, expected: list[float]) -> None:
    """The machine was twice as fast in the second round, which changes no ratio by itself."""
    columns = {
        "x": {"ours": figure([20.0, 80.0]), "rival": figure([5.0, 10.0])},
    }
    compared = [("ours", "rival")]
    found = measurement("it", "It", columns, compared, unit=unit)
    (ratio,) = found["cases"][0]["ratios"]
    assert ratio["rounds"] == expected
    assert ratio["value"] == sum(expected) / 2


def test_request_overhead_is_the_difference_of_medians_image_by_image() -> None:
    engine = np.array([[[10, 100]], [[11, 100]], [[12, 500]]], float)
    served = np.array([[[13, 104]], [[90, 104]], [[12, 104]]], float)
    assert request_overhead(served, engine) == ((13 - 11) + (104 - 100)) / 2


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [({"0": 5, "1": 20, "3": 25, "9": 60}, 5), ({"0": 5, "1": 20}, None)],
)
def test_cost_per_person(milliseconds: dict[str, float], expected: float | None) -> None:
    columns = {label: {"grpc": figure([value])} for label, value in milliseconds.items()}
    found = measurement("people", "People", columns, [])
    assert cost_per_person(found, "grpc") == expected


@pytest.mark.parametrize(
    ("answer", "agrees"),
    [
        (replace(RIGHT, boxes=RIGHT.boxes + np.float32(0.01)), True),
        (replace(RIGHT, boxes=RIGHT.boxes + np.float32(0.1)), False),
        (replace(RIGHT, det_scores=RIGHT.det_scores + np.float32(0.01)), False),
        (replace(RIGHT, keypoints=RIGHT.keypoints + np.float32(0.05)), True),
        (replace(RIGHT, keypoints=RIGHT.keypoints + np.float32(0.5)), False),
        (NOBODY, False),
    ],
)
def test_answers_that_differ_by_more_than_rounding(answer: PoseResponse, agrees: bool) -> None:
    contestants = [GivenContestant("reference", answer=RIGHT), GivenContestant("x", answer=answer)]
    found = compare_answers(contestants, WORKLOAD)
    (verdict,) = found["contestants"]
    assert found["all_agree"] is verdict["agrees"] is agrees
    others = ("a.jpg", ["9", "12 MP"]) if answer is NOBODY else (None, [])
    named = (*verdict["photos"]["other_persons"], None)[0], verdict["other_counts"]
    assert named == others


def test_threshold_selects_a_number_of_people() -> None:
    scores = np.array([0.9, 0.8, 0.7999, 0.3], np.float32)
    for count in (0, 1, 3, 4):
        threshold = threshold_for(scores, count)
        assert threshold is not None
        assert np.count_nonzero(threshold < scores) == count
    # Too near to the next, and too many.
    assert threshold_for(scores, 2) is threshold_for(scores, 5) is None
