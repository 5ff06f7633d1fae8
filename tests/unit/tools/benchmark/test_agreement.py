"""Whether contestants give the same answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contestants import NOBODY, GivenContestant
from poses import people
from tools.benchmark.agreement import Verdict, compare_answers
from tools.benchmark.workload import Sample, Scene, Workload
from tritonpose.transport.messages import PoseResponse

RIGHT = people(3)
WORKLOAD = Workload(
    photos=(Sample(Path("a.jpg")),),
    persons={"9": Sample(Path("crowd.jpg"), 0.3)},
    sizes={"12 MP": Sample(Path("large.jpg"))},
    scene=Scene(Path("a.jpg"), RIGHT.keypoints),
)


def judge(answer: PoseResponse) -> Verdict:
    reference = GivenContestant("reference", answer=RIGHT)
    other = GivenContestant("other", answer=answer)
    (verdict,) = compare_answers(reference, [other], WORKLOAD)
    assert other.calls == [f"other answers {name}.jpg" for name in ("a", "crowd", "large")]
    assert verdict.key == "other"
    return verdict


def test_equal_answers() -> None:
    verdict = judge(RIGHT)
    assert verdict.agrees
    assert verdict.photos.persons == 3
    assert verdict.photos.close_share == 1
    assert verdict.other_counts == ()


@pytest.mark.parametrize(
    ("name", "difference", "agrees"),
    [
        ("boxes", 0.01, True),
        ("boxes", 0.1, False),
        ("det_scores", 0.0001, True),
        ("det_scores", 0.01, False),
        ("keypoints", 0.05, True),
        ("keypoints", 0.5, False),
    ],
)
def test_tolerances(name: str, difference: float, agrees: bool) -> None:
    moved = getattr(RIGHT, name) + np.float32(difference)
    assert judge(replace(RIGHT, **{name: moved})).agrees is agrees


def test_other_persons() -> None:
    verdict = judge(NOBODY)
    assert not verdict.agrees
    assert verdict.photos.other_persons == ("a.jpg",)
    assert verdict.other_counts == ("9", "12 MP")
