"""Contestants take turns."""

from __future__ import annotations

import pytest

from contestants import GivenContestant
from tools.benchmark.contestants.base import Contestant
from tools.benchmark.rounds import in_rounds, rotated
from tools.benchmark.watch import Watch


def test_each_round_begins_with_another() -> None:
    calls: list[str] = []
    everyone = [GivenContestant(key, calls=calls) for key in "abc"]

    def measure(contestant: Contestant) -> str:
        calls.append(contestant.key)
        return f"{contestant.key}{len(calls)}"

    results = in_rounds(everyone, 4, measure, Watch(everyone))
    assert "".join(calls) == "abc" + "bca" + "cab" + "abc"
    assert [value for value, _ in results["b"]] == ["b2", "b4", "b9", "b11"]
    assert all(window.wall > 0 for rounds in results.values() for _, window in rounds)


@pytest.mark.parametrize(
    ("start", "expected"), [(0, [1, 2, 3]), (1, [2, 3, 1]), (3, [1, 2, 3]), (5, [3, 1, 2])]
)
def test_rotation(start: int, expected: list[int]) -> None:
    assert rotated([1, 2, 3], start) == expected


def test_nobody_takes_part() -> None:
    assert rotated([], 3) == []
    assert in_rounds([], 2, lambda each: each, Watch([])) == {}
