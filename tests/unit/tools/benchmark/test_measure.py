"""Latency and throughput of contestants whose figures are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contestants import GivenContestant
from tools.benchmark.contestants.base import pairs
from tools.benchmark.measure.latency import measure_latency, measure_people, measure_sizes
from tools.benchmark.measure.throughput import measure_client, measure_throughput
from tools.benchmark.plan import QUICK
from tools.benchmark.shots import Shot
from tools.benchmark.watch import Watch

SHOTS = [Shot(Path("a.jpg")), Shot(Path("b.jpg"))]


def test_latency() -> None:
    plan = replace(QUICK, rounds=2, latency_samples=3)
    # Two passes over two images in each of two rounds.
    rival = GivenContestant("rival", "rival", seconds=[0.1, 0.2, 0.1, 0.2, 0.2, 0.4, 0.2, 0.4])
    ours = GivenContestant("ours", seconds=[0.01, 0.02, 0.01, 0.02, 0.02, 0.04, 0.02, 0.04])
    everyone = [rival, ours]
    found = measure_latency(everyone, SHOTS, plan, Watch(everyone))
    assert found.samples["ours"].shape == (2, 2, 2)
    assert found.samples["ours"][1, 0].tolist() == [20, 40]
    assert "2 images, 8 samples" in found.measurement.title
    cases = {case.label: case for case in found.measurement.cases}
    assert list(cases) == ["p50", "p95", "p99", "mean"]
    assert cases["mean"].series["rival"].rounds == pytest.approx((150, 300))
    assert cases["p50"].series["ours"].value == pytest.approx(20)
    for case in cases.values():
        ratio = found.measurement.ratio(case, "ours", "rival")
        assert ratio is not None
        assert ratio.rounds == pytest.approx((10, 10))
    assert ours.calls == ["ours times 4", "ours times 4"]


@pytest.mark.parametrize("measure", [measure_people, measure_sizes])
def test_images_by_themselves(measure: object) -> None:
    plan = replace(QUICK, rounds=2, repeats=3)
    one = GivenContestant(
        "one", seconds=[0.001, 0.002, 0.009, 0.011, 0.012, 0.019, 0.1, 0.2, 0.3, 1, 2, 3]
    )
    images = {"1": SHOTS[0], "9": SHOTS[1]}
    found = measure([one], images, plan, Watch([one]))  # type: ignore[operator]
    assert [case.label for case in found.cases] == ["1", "9"]
    first, second = (case.series["one"] for case in found.cases)
    assert first.rounds == pytest.approx((2, 200))
    assert second.rounds == pytest.approx((12, 2000))
    assert first.value == pytest.approx((9 + 100) / 2)
    assert found.headline == "9"
    assert "9" in found.summary


def test_throughput() -> None:
    plan = replace(QUICK, rounds=2, rate_seconds=1.0, concurrencies=(1, 8))
    calls: list[str] = []
    # Of each concurrency: a probe, then two rounds.
    serial = GivenContestant("serial", "rival", parallel=False, rates=[3, 2, 4], calls=calls)
    ours = GivenContestant("ours", rates=[11, 10, 12, 30, 39, 41], calls=calls)
    everyone = [serial, ours]
    throughput, cpu = measure_throughput(everyone, SHOTS, plan, Watch(everyone))
    # As many whole passes as take a second, and as many images as are under way.
    assert calls[:2] == ["serial rates 1 0 2", "ours rates 1 0 2"]
    assert calls[2:6] == [
        *("serial rates 1 1 4", "ours rates 1 1 12"),
        *("ours rates 1 1 12", "serial rates 1 1 4"),
    ]
    assert calls[6:] == ["ours rates 8 0 2", "ours rates 8 8 30", "ours rates 8 8 30"]
    figures = {
        case.label: {key: series.value for key, series in case.series.items()}
        for case in throughput.cases
    }
    assert figures == {
        "1": {"serial": 3, "ours": 11},
        "8": {"serial": 3, "ours": 40},
        "best": {"serial": 3, "ours": 40},
    }
    ratio = throughput.ratio(throughput.cases[-1], "ours", "serial")
    assert ratio is not None
    assert ratio.rounds == (39 / 2, 41 / 4)
    assert [case.label for case in cpu.cases] == ["1", "8"]
    assert cpu.better == "lower"


def test_many_under_way_have_a_turn_each() -> None:
    plan = replace(QUICK, rounds=1, rate_seconds=1.0, concurrencies=(64,))
    slow = GivenContestant("slow", rates=[2, 2])
    measure_throughput([slow], SHOTS, plan, Watch([slow]))
    assert slow.calls[-1] == "slow rates 64 64 64"


def test_client() -> None:
    plan = replace(QUICK, rounds=1, rate_seconds=0.1)
    predict, bare = GivenContestant("predict", rates=[5, 6]), GivenContestant("grpc", rates=[5, 8])
    rival = GivenContestant("rival", "rival", rates=[1, 2])
    found = measure_client(predict, [rival, bare], SHOTS, plan, Watch([]))
    assert found.pairs == (("predict", "rival"), ("predict", "grpc"))
    (case,) = found.cases
    ratios = [found.ratio(case, *pair) for pair in found.pairs]
    assert [ratio.value for ratio in ratios if ratio] == [3, 0.75]


def test_who_is_compared_with_whom() -> None:
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
