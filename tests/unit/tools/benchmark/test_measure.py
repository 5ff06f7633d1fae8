"""Latency, throughput, drawing and answers, of contestants whose figures are given."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from contestants import NOBODY, GivenContestant
from poses import people
from tools.benchmark.contestants import Contestant, InProcessContestant, pairs
from tools.benchmark.figures import cost_per_person, figure, measurement
from tools.benchmark.machine import Watch
from tools.benchmark.measure import (
    RENDER,
    in_rounds,
    measure_each_image,
    measure_latency,
    measure_rendering,
    measure_throughput,
    request_overhead,
)
from tools.benchmark.run import compare_answers
from tools.benchmark.worker import Worker
from tools.benchmark.workload import QUICK, Sample, Scene, Workload
from tools.errors import ToolError
from tritonpose.transport.messages import PoseResponse

SAMPLES = [Sample(Path("a.jpg")), Sample(Path("b.jpg"))]
RIGHT = people(3)
WORKLOAD = Workload(
    photos=(Sample(Path("a.jpg")),),
    persons={"9": Sample(Path("crowd.jpg"), 0.3)},
    sizes={"12 MP": Sample(Path("large.jpg"))},
    scene=Scene(Path("a.jpg"), RIGHT.keypoints),
)


def test_each_round_begins_with_another() -> None:
    calls: list[str] = []
    everyone = [GivenContestant(key) for key in "abc"]

    def measure(contestant: Contestant) -> str:
        calls.append(contestant.key)
        return f"{contestant.key}{len(calls)}"

    results = in_rounds(everyone, 4, measure, Watch(everyone))
    assert "".join(calls) == "abc" + "bca" + "cab" + "abc"
    assert [value for value, _ in results["b"]] == ["b2", "b4", "b9", "b11"]
    assert in_rounds([], 2, measure, Watch([])) == {}


def test_latency() -> None:
    plan = replace(QUICK, rounds=2, latency_samples=3)
    # Two passes over two images in each of two rounds.
    rival = GivenContestant("rival", "rival", seconds=[0.1, 0.2, 0.1, 0.2, 0.2, 0.4, 0.2, 0.4])
    ours = GivenContestant("ours", seconds=[0.01, 0.02, 0.01, 0.02, 0.02, 0.04, 0.02, 0.04])
    everyone = [rival, ours]
    found, milliseconds = measure_latency(everyone, SAMPLES, plan, Watch(everyone))
    assert milliseconds["ours"].shape == (2, 2, 2)
    assert milliseconds["ours"][1, 0].tolist() == [20, 40]
    assert "2 images, 8 samples" in found["title"]
    cases = {case["label"]: case for case in found["cases"]}
    assert list(cases) == ["p50", "p95", "p99", "mean"]
    assert cases["mean"]["figures"]["rival"]["rounds"] == pytest.approx([150, 300])
    assert cases["p50"]["figures"]["ours"]["value"] == pytest.approx(20)
    for case in cases.values():
        (ratio,) = case["ratios"]
        assert ratio["rounds"] == pytest.approx([10, 10])


def test_images_by_themselves() -> None:
    plan = replace(QUICK, rounds=2, repeats=3)
    one = GivenContestant(
        "one", seconds=[0.001, 0.002, 0.009, 0.011, 0.012, 0.019, 0.1, 0.2, 0.3, 1, 2, 3]
    )
    images = {"1": SAMPLES[0], "9": SAMPLES[1]}
    found = measure_each_image("people", [one], images, plan, Watch([one]))
    assert [case["label"] for case in found["cases"]] == ["1", "9"]
    first, second = (case["figures"]["one"] for case in found["cases"])
    assert first["rounds"] == pytest.approx([2, 200])
    assert second["rounds"] == pytest.approx([12, 2000])
    assert first["value"] == pytest.approx((9 + 100) / 2)
    assert found["headline"] == "9"


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
    assert [case["label"] for case in cpu["cases"]] == ["1", "8"]
    assert cpu["better"] == "lower"


def test_all_in_flight_are_answered_at_least_once() -> None:
    plan = replace(QUICK, rounds=1, rate_seconds=1.0, concurrencies=(64,))
    slow = GivenContestant("slow", rates=[2, 2])
    measure_throughput([slow], SAMPLES, plan, Watch([slow]))
    assert slow.calls[-1] == "slow rates 64 64 64"


@pytest.mark.parametrize(("unit", "expected"), [("images/s", [4, 8]), ("ms", [1 / 4, 1 / 8])])
def test_ratios_are_those_of_the_rounds(unit: str, expected: list[float]) -> None:
    """The machine was twice as fast in the second round, which changes no ratio by itself."""
    columns = {
        "x": {"ours": figure([20.0, 80.0]), "rival": figure([5.0, 10.0])},
        "y": {"ours": figure([1.0])},
    }
    compared = [("ours", "rival")]
    found = measurement("it", "It", columns, compared, headline="x", summary="", unit=unit)
    (ratio,) = found["cases"][0]["ratios"]
    assert ratio["rounds"] == expected
    assert ratio["value"] == sum(expected) / 2
    # Nothing to compare with.
    assert found["cases"][1]["ratios"] == []


def test_which_contestants_are_compared() -> None:
    everyone = [
        GivenContestant("in_process", "rival", parallel=False),
        GivenContestant("serving", "rival"),
        GivenContestant("engine", "limit"),
        GivenContestant("grpc"),
        GivenContestant("rest"),
    ]
    assert pairs(everyone) == (
        *(("grpc", "in_process"), ("grpc", "serving"), ("grpc", "engine")),
        *(("rest", "serving"), ("rest", "engine")),
    )


def test_request_overhead_is_the_difference_of_medians_image_by_image() -> None:
    engine = np.array([[[10, 100]], [[11, 100]], [[12, 500]]], float)
    served = np.array([[[13, 104]], [[90, 104]], [[12, 104]]], float)
    assert request_overhead(served, engine) == ((13 - 11) + (104 - 100)) / 2


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [({"0": 5, "1": 20, "3": 25, "9": 60}, 5), ({"0": 5, "1": 20}, None), ({"0": 5}, None)],
)
def test_cost_per_person(milliseconds: dict[str, float], expected: float | None) -> None:
    columns = {label: {"grpc": figure([value])} for label, value in milliseconds.items()}
    found = measurement("people", "People", columns, [], headline="0", summary="")
    assert cost_per_person(found, "grpc") == expected


DRAWER = """
import cv2
import numpy as np
from tritonpose.drawing.poses import draw_poses

class Drawer:
    def __init__(self, wrong_pixels):
        self.wrong_pixels = wrong_pixels
    def draw(self, image, keypoints, repeat, target):
        picture = draw_poses(cv2.imread(image), np.array(keypoints, np.float32))
        picture[0, : self.wrong_pixels] ^= 1
        np.save(target, picture)
        return [0.5] * repeat

def open_worker(wrong_pixels):
    return Drawer(int(wrong_pixels))
"""


def test_drawing_is_compared_on_equal_pixels(tmp_path: Path) -> None:
    """A worker draws as ours does, or wrongly, in PaddleX's place."""
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    scene = Scene(tmp_path / "image.png", people(9).keypoints)
    (tmp_path / "drawer.py").write_text(DRAWER)

    def contestant(wrong_pixels: int) -> InProcessContestant:
        worker = Worker("it", [sys.executable], tmp_path / "drawer.py", [str(wrong_pixels)])
        return InProcessContestant("paddlex", "PaddleX", "rival", parallel=False, worker=worker)

    right, wrong = contestant(0), contestant(7)
    found = measure_rendering(right, scene, replace(QUICK, rounds=3, repeats=2))
    (case,) = found["cases"]
    assert case["label"] == "9 people, 500x400"
    assert case["figures"]["paddlex"]["rounds"] == [500, 500, 500]
    assert len(case["figures"][RENDER]["rounds"]) == 3
    assert case["ratios"][0]["ours"] == RENDER
    with pytest.raises(ToolError, match=r"image\.png differs from ours in 7 pixels"):
        measure_rendering(wrong, scene, QUICK)
    right.close()
    wrong.close()


@pytest.mark.parametrize(
    ("name", "difference", "agrees"),
    [
        ("boxes", 0, True),
        ("boxes", 0.01, True),
        ("boxes", 0.1, False),
        ("det_scores", 0.0001, True),
        ("det_scores", 0.01, False),
        ("keypoints", 0.05, True),
        ("keypoints", 0.5, False),
    ],
)
def test_answers_that_differ_by_more_than_rounding(
    name: str, difference: float, agrees: bool
) -> None:
    answer = replace(RIGHT, **{name: getattr(RIGHT, name) + np.float32(difference)})
    found, other = judged(answer)
    assert other.calls == [f"other answers {name}.jpg" for name in ("a", "crowd", "large")]
    assert found["reference"] == "reference"
    assert found["all_agree"] is agrees
    (verdict,) = found["contestants"]
    assert (verdict["key"], verdict["agrees"]) == ("other", agrees)
    assert verdict["photos"]["persons"] == 3


def test_other_numbers_of_people() -> None:
    (verdict,) = judged(NOBODY)[0]["contestants"]
    assert not verdict["agrees"]
    assert verdict["photos"]["other_persons"] == ("a.jpg",)
    assert verdict["other_counts"] == ["9", "12 MP"]


def judged(answer: PoseResponse) -> tuple[dict[str, Any], GivenContestant]:
    other = GivenContestant("other", answer=answer)
    reference = GivenContestant("reference", answer=RIGHT)
    return compare_answers([reference, other], WORKLOAD), other
