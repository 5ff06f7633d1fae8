"""Load from a closed loop."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from tools.benchmark.load import measure_rate, stream_rate


def test_so_many_calls_are_under_way() -> None:
    """The first four wait for each other: with fewer under way this would never end."""
    barrier = threading.Barrier(4, timeout=10)
    arrivals = itertools.count()
    seen: list[str] = []

    def call(item: str) -> None:
        seen.append(item)
        if next(arrivals) < 4:
            barrier.wait()

    rate = measure_rate(call, ["a", "b", "c"], 4, skip=4, count=6)
    assert seen[:3] == ["a", "b", "c"]
    # Items come again and again, each as often as the others.
    assert abs(seen.count("a") - seen.count("c")) <= 1
    # Those skipped, those counted, and those under way when the count was full.
    assert rate.images == len(seen)
    assert len(seen) >= 10
    assert rate.per_second > 0


def test_one_call_at_a_time() -> None:
    running = 0

    def call(_: int) -> None:
        nonlocal running
        running += 1
        assert running == 1
        time.sleep(0.001)
        running -= 1

    assert measure_rate(call, [1], 1, skip=0, count=5).images in (5, 6)


def test_only_what_is_counted_is_timed() -> None:
    """The slow calls lie before and after the window."""
    number = itertools.count()

    def call(_: int) -> None:
        time.sleep(0.2 if next(number) in (0, 6) else 0)

    rate = measure_rate(call, [1], 1, skip=1, count=5)
    assert rate.per_second > 5 / 0.2


def test_an_error_ends_it() -> None:
    threads = threading.active_count()

    def call(item: int) -> None:
        if item == 3:
            raise RuntimeError("third")

    with pytest.raises(RuntimeError, match="third"):
        measure_rate(call, [1, 2, 3], 2, skip=0, count=100)
    assert threading.active_count() == threads


def test_rate_of_a_stream_leaves_its_beginning_out() -> None:
    taken = []

    def stream() -> object:
        for number in itertools.count():
            time.sleep(0.3 if number < 2 else 0)
            taken.append(number)
            yield number

    rate = stream_rate(stream(), 2, 4)  # type: ignore[arg-type]
    assert taken == list(range(6))
    assert rate > 4 / 0.3
