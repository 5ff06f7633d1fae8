"""Reports of figures and violations, and growth of memory."""

from __future__ import annotations

import random

import pytest

from tools.soak.memory import has_grown, levels, report_growth
from tools.soak.report import Outcome, Report, as_json, as_text

MB = 1_000_000


def report() -> Report:
    found = Report("load")
    for number in range(100):
        found.add("gRPC", "good", Outcome.ANSWERED, number / 1000)
    found.add("REST", "good", Outcome.ANSWERED, 0.05)
    for number in range(30):
        found.violate(f"wrong answer {number}")
    return found


def test_text() -> None:
    verdict, counts, rest, grpc, violations, *shown = as_text([report()]).splitlines()
    assert verdict == "load: VIOLATED"
    assert counts.split(maxsplit=2)[2] == "101 (REST 1, gRPC 100)"
    assert "answered by REST after, ms (p50 p95 p99)" in rest
    assert grpc.endswith("50 94 98")
    assert violations.split() == ["violations", "30"]
    assert len(shown) == 20
    assert as_json([report()])["load"]["violations"][0] == "wrong answer 0"


def test_a_leak_shows_and_noise_does_not() -> None:
    rng = random.Random(0)
    noise = [200 * MB + rng.randrange(10 * MB) for _ in range(60)]
    assert not has_grown(*levels(noise))
    assert has_grown(*levels([size + index * MB for index, size in enumerate(noise)]))


@pytest.mark.parametrize(("seconds", "violations"), [(179, 0), (181, 1)])
def test_growth_counts_once_processes_are_warm(seconds: float, violations: int) -> None:
    found = Report("load")
    sizes = {"hps": [size * MB for size in range(100, 280, 20)], "rest": [MB] * 9, "new": [MB]}
    report_growth(sizes, seconds, found)
    assert found.violations == ["memory of hps grew from 180 to 240 MB"][:violations]
    assert found.figures == {"memory of hps, MB": "100 180 240", "memory of rest, MB": "1 1 1"}
