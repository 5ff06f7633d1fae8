"""A closed loop of calls: a fixed number in flight at any time, each followed by the next."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Rate(NamedTuple):
    """Images per second while the load was steady, and all images, before and after that, too."""

    per_second: float
    images: int


def measure_rate(
    call: Callable[[Item], object], items: Sequence[Item], concurrency: int, skip: int, count: int
) -> Rate:
    """Measure how many calls per second end while a fixed number is in flight.

    ``skip`` calls end before timing starts, until the load is steady; it lasts longer than the
    ``count`` that are timed. Where that is a multiple of the number of items, each counts equally.
    """
    feed = itertools.cycle(items)
    lock = threading.Lock()
    stop = threading.Event()
    ends: queue.SimpleQueue[float | Exception] = queue.SimpleQueue()

    def work() -> None:
        while not stop.is_set():
            with lock:
                item = next(feed)
            try:
                call(item)
            except Exception as error:
                ends.put(error)
                return
            ends.put(time.perf_counter())

    def wait(calls: int) -> float:
        """Wait until further calls have ended; returns the time at which the last one did."""
        moment = time.perf_counter()
        for _ in range(calls):
            end = ends.get()
            if isinstance(end, Exception):
                raise end
            moment = end
        return moment

    with ThreadPoolExecutor(concurrency) as pool:
        try:
            for _ in range(concurrency):
                pool.submit(work)
            began = wait(skip)
            seconds = wait(count) - began
        finally:
            stop.set()
    return Rate(count / seconds, skip + count + ends.qsize())
