"""Load from a closed loop: so many calls under way at any time, each followed by the next."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Rate:
    """How fast images were answered.

    Attributes:
        per_second: Images per second while the load was steady.
        images: All images answered, those before and after that, too.
    """

    per_second: float
    images: int


def measure_rate(
    call: Callable[[Item], object],
    items: Sequence[Item],
    concurrency: int,
    skip: int,
    count: int,
) -> Rate:
    """Measure how many calls per second end while so many are under way.

    Counting begins after ``skip`` calls and ends while the load lasts. Where ``count`` is a
    multiple of the number of items, each weighs the same.

    Args:
        call: Answers one item; used from several threads.
        items: Given to it again and again, in order.
        concurrency: Calls under way.
        skip: Calls until the load is steady.
        count: Calls to time.

    Raises:
        Exception: Whatever a call raises.
    """
    with _ClosedLoop(call, items, concurrency) as loop:
        loop.wait(skip)
        began = time.perf_counter()
        loop.wait(count)
        seconds = time.perf_counter() - began
    return Rate(count / seconds, loop.completed)


def stream_rate(results: Iterator[object], skip: int, count: int) -> float:
    """Measure how many results per second a stream gives, after the first ``skip``."""
    for _ in itertools.islice(results, skip):
        pass
    began = time.perf_counter()
    for _ in itertools.islice(results, count):
        pass
    return count / (time.perf_counter() - began)


class _ClosedLoop(Generic[Item]):
    """Threads that call until the context ends.

    Attributes:
        completed: Calls that have ended without an error.
    """

    def __init__(
        self, call: Callable[[Item], object], items: Sequence[Item], concurrency: int
    ) -> None:
        self.completed = 0
        self._call = call
        self._feed = itertools.cycle(items)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ends: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work) for _ in range(concurrency)]

    def __enter__(self) -> _ClosedLoop[Item]:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, count: int) -> None:
        """Return when so many further calls have ended."""
        for _ in range(count):
            error = self._ends.get()
            if error is not None:
                raise error

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                item = next(self._feed)
            try:
                self._call(item)
            except Exception as error:
                self._ends.put(error)
                return
            with self._lock:
                self.completed += 1
            self._ends.put(None)
