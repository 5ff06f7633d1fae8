"""A closed loop of calls."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from tools.benchmark.load import measure_rate


def test_a_fixed_number_of_calls_is_in_flight() -> None:
    """The first four wait for each other: with fewer in flight this would never end."""
    barrier = threading.Barrier(4, timeout=10)
    arrivals = itertools.count()
    seen: list[str] = []

    def call(item: str) -> None:
        seen.append(item)
        if next(arrivals) < 4:
            barrier.wait()

    rate = measure_rate(call, ["a", "b", "c"], 4, skip=4, count=6)
    assert seen[:3] == ["a", "b", "c"]
    # Items are repeated, each as often as the others.
    assert abs(seen.count("a") - seen.count("c")) <= 1
    # All that ended: skipped, counted, and in flight when the count was full.
    assert rate.images == len(seen)
    assert len(seen) >= 10
    assert rate.per_second > 0


def test_only_counted_calls_are_timed() -> None:
    """The slow calls lie before and after the window; one call runs at a time."""
    number = itertools.count()
    running: list[int] = []

    def call(item: int) -> None:
        running.append(item)
        assert len(running) == 1
        time.sleep(0.2 if next(number) in (0, 6) else 0)
        running.pop()

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
