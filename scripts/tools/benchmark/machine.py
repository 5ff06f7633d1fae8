"""The machine: its facts, the memory of processes, and who uses the CPU during a measurement."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tools.benchmark.contestants import Contestant

_PACKAGES = (
    "tritonpose",
    "numpy",
    "opencv-python-headless",
    "openvino",
    "onnxruntime",
    "tritonclient",
    "nvidia-pytriton",
)


def machine_facts() -> dict[str, object]:
    """Describe the processor, cores, memory and system."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "cores_of_machine": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def package_versions() -> dict[str, str]:
    """Report the versions of our packages; those not installed are left out."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def process_tree(roots: Iterable[int]) -> list[int]:
    """List processes and all below them; ended ones are left out."""
    found: dict[int, None] = {}
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            found.update(dict.fromkeys([root, *(p.pid for p in process.children(recursive=True))]))
    return list(found)


def resident_bytes(roots: Iterable[int]) -> int:
    """Add up the memory of process trees: their proportional set sizes (shared pages divided)."""
    total = 0
    for pid in process_tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += psutil.Process(pid).memory_full_info().pss
    return total


@dataclass
class Window:
    """CPU time during one measurement, in seconds; complete when it is over.

    Attributes:
        wall: How long it took.
        measured: Used by the contestant and by this process, which loads it.
        idle: Used by the other contestants, which should use none.
        foreign: Used by all other programs.
        stolen: Given by the hypervisor to other machines.
    """

    wall: float = 0.0
    measured: float = 0.0
    idle: float = 0.0
    foreign: float = 0.0
    stolen: float = 0.0


@dataclass(frozen=True)
class Disturbance:
    """Who else used the machine's CPU time during measurements, as shares of all of it.

    Attributes:
        idle_contestants: Contestants that were not measured.
        foreign: Programs that have nothing to do with the benchmark.
        stolen: Other machines of the same host.
    """

    idle_contestants: float
    foreign: float
    stolen: float


class Watch:
    """Records the use of the CPU during all measurements.

    Args:
        contestants: All that are running.
    """

    def __init__(self, contestants: Sequence[Contestant]) -> None:
        self._contestants = contestants
        self._windows: list[Window] = []

    @contextmanager
    def during(self, contestant: Contestant) -> Iterator[Window]:
        """Record one measurement.

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
            # Where ticks are coarse, differences of sums can be slightly negative.
            setattr(window, name, max(value - before[name], 0.0))
        self._windows.append(window)

    def disturbance(self) -> Disturbance:
        """Sum up all measurements."""
        total = sum(window.wall for window in self._windows) * (psutil.cpu_count() or 1)

        def share(name: str) -> float:
            seconds: float = sum(getattr(window, name) for window in self._windows)
            return seconds / total if total else 0.0

        return Disturbance(share("idle"), share("foreign"), share("stolen"))


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
