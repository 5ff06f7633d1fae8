"""What is tried, and what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tritonpose_server.tuning.defaults import default_tuning
from tritonpose_server.tuning.figures import Comparison, Figures, Sample, middle, score
from tritonpose_server.tuning.search import Search, first_steps, ladders, step
from tritonpose_server.tuning.settings import LeafTuning, Tuning

FIGURES = Figures({1: Sample(10, 100, 110)}, 1000)
START = default_tuning(4).with_values(
    {"detector.max_batch_size": 8, "keypoint_model.max_batch_size": 8}
)


def always() -> bool:
    return True


def faster_by(speed: Callable[[Tuning], float], noise: float = 0.0) -> Callable[..., Comparison]:
    """Compares by a made-up speed, with rounds that differ by so much."""

    def compare(best: Tuning, candidate: Tuning) -> Comparison:
        ratio = speed(candidate) / speed(best)
        return Comparison((ratio - noise / 2, ratio, ratio + noise / 2), FIGURES, FIGURES)

    return compare


def search_all(compare: Callable[..., Comparison], go_on: Callable[[], bool] = always) -> Search:
    search = Search(START, ladders(START, 4), compare, go_on)
    assert list(search.run()) == search.trials
    return search


# --- when a change is kept ---


@pytest.mark.parametrize(
    ("ratios", "wins"),
    [
        ((1.10, 1.08, 1.12), True),
        # By no more than the rounds differ, by hardly anything, or only once.
        ((1.10, 1.00, 1.20), False),
        ((1.015, 1.015, 1.015), False),
        ((1.5,), False),
        ((0.8, 0.9, 0.85), False),
        ((), False),
    ],
)
def test_wins_by_more_than_the_spread(ratios: tuple[float, ...], wins: bool) -> None:
    assert Comparison(ratios).wins is wins


def test_hopeless() -> None:
    assert Comparison((0.85,)).hopeless
    assert not Comparison((0.95,)).hopeless
    assert not Comparison((0.85, 1.2, 1.1)).hopeless


def test_score_weighs_all_loads_alike() -> None:
    samples = {1: Sample(10, 100, 100), 16: Sample(40, 400, 400)}
    assert score(samples) == pytest.approx(20)
    slower = {1: Sample(20, 50, 50), 16: Sample(20, 800, 800)}
    assert score(slower) == pytest.approx(20)


def test_middle_is_the_median_of_each_figure() -> None:
    rounds = [{4: Sample(*values)} for values in [(1, 9, 30), (3, 7, 10), (2, 8, 20)]]
    assert middle(rounds) == {4: Sample(2, 8, 20)}


# --- what is tried ---


def test_ladders() -> None:
    found = ladders(START, 6)
    assert found["detector.streams"] == (1, 2, 4, 6)
    assert found["pipeline.workers"] == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert found["detector.max_batch_size"] == (1, 2, 4, 8)
    assert "pipeline.max_in_flight" not in found
    assert next(iter(found)) == "keypoint_model.streams"
    # As of a GPU, where threads mean nothing.
    without = Tuning(LeafTuning(instances=1), LeafTuning(instances=1))
    assert set(ladders(without, 6)) == {"detector.instances", "keypoint_model.instances"}


def test_steps() -> None:
    ladder = (1, 2, 4)
    two = START.with_values({"detector.streams": 2})
    for upwards, expected in ((True, 4), (False, 1)):
        found = step(two, "detector.streams", ladder, upwards=upwards)
        assert found == two.with_values({"detector.streams": expected})
    assert step(START, "detector.streams", ladder, upwards=True) is None
    # From between two values.
    three = two.with_values({"detector.streams": 3})
    assert step(three, "detector.streams", ladder, upwards=False) == two
    # Fewer threads than the four streams need.
    assert step(START, "detector.threads", ladder, upwards=False) is None


def test_number_of_first_steps() -> None:
    assert first_steps(START, {"detector.streams": (1, 2, 4)}) == 1
    assert first_steps(START, {"pipeline.workers": (8, 16, 32), "detector.instances": (1, 2)}) == 3


def test_nothing_helps() -> None:
    search = search_all(faster_by(lambda _: 1.0))
    assert search.best == START
    assert len(search.trials) == first_steps(START, ladders(START, 4))
    assert {trial.old for trial in search.trials if trial.name == "pipeline.workers"} == {16}


def test_the_best_is_found_knob_by_knob() -> None:
    goal = {
        "keypoint_model.streams": 1,
        "keypoint_model.threads": 2,
        "detector.queue_delay_us": 1000,
        "pipeline.workers": 64,
    }

    def speed(tuning: Tuning) -> float:
        values = tuning.values()
        steps = [abs(math.log2((values[name] or 1) / most)) for name, most in goal.items()]
        return 0.5 ** sum(steps)

    search = search_all(faster_by(speed))
    assert search.best == START.with_values(goal)
    workers = [trial.new for trial in search.trials if trial.name == "pipeline.workers"]
    # Upwards until it no longer helps, and then not downwards.
    assert workers == [32, 64, 128]


def test_gains_within_the_noise_are_not_kept() -> None:
    def speed(tuning: Tuning) -> float:
        return 1.0 + 0.1 * (tuning.pipeline.workers == 32)

    assert search_all(faster_by(speed, noise=0.05)).best.pipeline.workers == 32
    assert search_all(faster_by(speed, noise=0.2)).best == START


def test_what_fails_is_not_kept() -> None:
    def compare(_: Tuning, candidate: Tuning) -> Comparison:
        if candidate.detector.instances == 2:
            return Comparison(failure="out of memory")
        return Comparison((1.0, 1.0, 1.0), FIGURES, FIGURES)

    search = search_all(compare)
    assert search.best == START
    assert [trial.name for trial in search.trials if trial.comparison.failure] == [
        "detector.instances"
    ]


def test_ends_when_time_is_up() -> None:
    left = iter([True, True, True])
    search = search_all(faster_by(lambda _: 1.0), lambda: next(left, False))
    assert len(search.trials) == 3


def test_the_best_so_far_survives_an_interruption() -> None:
    calls = 0

    def compare(_best: Tuning, _candidate: Tuning) -> Comparison:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return Comparison((1.2, 1.2, 1.2), FIGURES, FIGURES)

    search = Search(START, ladders(START, 4), compare, always)
    with pytest.raises(KeyboardInterrupt):
        list(search.run())
    assert search.best == START.with_values({"keypoint_model.streams": 2})
    assert len(search.trials) == 1
