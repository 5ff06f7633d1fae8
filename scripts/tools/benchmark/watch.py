"""What the machine does while a contestant is measured, and who else uses it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from tools.benchmark.contestants.base import Contestant
from tools.benchmark.process_tree import process_tree


@dataclass
class Window:
    """CPU time during one measurement, in seconds; complete when it is over.

    Attributes:
        wall: How long it took.
        measured: Of the contestant and of this process, which loads it.
        idle: Of the other contestants, which should have none.
        foreign: Of all other programs.
        stolen: That the hypervisor gave to other machines.
    """

    wall: float = 0.0
    measured: float = 0.0
    idle: float = 0.0
    foreign: float = 0.0
    stolen: float = 0.0


@dataclass(frozen=True)
class Disturbance:
    """How the machine's CPU time was used while something was measured, as shares of all of it.

    Attributes:
        idle_contestants: By contestants that were not measured.
        foreign: By programs that have nothing to do with the benchmark.
        stolen: By other machines of the same host.
    """

    idle_contestants: float
    foreign: float
    stolen: float


class Watch:
    """Watches over all measurements.

    Args:
        contestants: All that are running.
    """

    def __init__(self, contestants: Sequence[Contestant]) -> None:
        self._contestants = contestants
        self._windows: list[Window] = []

    @contextmanager
    def during(self, contestant: Contestant) -> Iterator[Window]:
        """Watch one measurement.

        Yields:
            Its figures, complete when the context has ended.
        """
        measured = set(process_tree(contestant.processes()))
        others = {
            pid for each in self._contestants for pid in process_tree(each.processes())
        } - measured
        window = Window()
        before = _snapshot(measured, others)
        yield window
        after = _snapshot(measured, others)
        for name, value in after.items():
            # Where ticks are coarse, differences of sums may come out a little below 0.
            setattr(window, name, max(value - before[name], 0.0))
        self._windows.append(window)

    def disturbance(self) -> Disturbance:
        """What was seen in all windows."""
        total = sum(window.wall for window in self._windows) * (psutil.cpu_count() or 1)

        def share(seconds: float) -> float:
            return seconds / total if total else 0.0

        return Disturbance(
            idle_contestants=share(sum(window.idle for window in self._windows)),
            foreign=share(sum(window.foreign for window in self._windows)),
            stolen=share(sum(window.stolen for window in self._windows)),
        )


def _snapshot(measured: Iterable[int], others: Iterable[int]) -> dict[str, float]:
    times = psutil.cpu_times()
    busy = times.user + times.nice + times.system + times.irq + times.softirq
    ours, idle = _cpu_seconds(measured) + time.process_time(), _cpu_seconds(others)
    return {
        "wall": time.perf_counter(),
        "measured": ours,
        "idle": idle,
        "foreign": busy - ours - idle,
        "stolen": times.steal,
    }


def _cpu_seconds(pids: Iterable[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total
