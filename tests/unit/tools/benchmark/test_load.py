"""A closed loop of calls."""

from __future__ import annotations

import itertools
import threading
import time

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
    # All that ended: skipped, counted, and in flight when the count was full.
    assert rate.images == len(seen)
    assert len(seen) >= 10


def test_only_counted_calls_are_timed() -> None:
    """The slow calls lie before and after the window."""
    number = itertools.count()

    def call(_: int) -> None:
        time.sleep(0.2 if next(number) in (0, 6) else 0)

    rate = measure_rate(call, [1], 1, skip=1, count=5)
    assert rate.per_second > 5 / 0.2
