"""The machine: its facts, the memory of processes, and who uses the CPU during a measurement."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import psutil

from tools.benchmark.contestants import Contestant
from tritonpose_server.supervision.processes import children, cpu_seconds

Result = TypeVar("Result")

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
    trees = ([root, *children(root, recursive=True)] for root in roots if psutil.pid_exists(root))
    return list(dict.fromkeys(pid for tree in trees for pid in tree))


def resident_bytes(roots: Iterable[int]) -> int:
    """Add up the memory of process trees: their proportional set sizes (shared pages divided)."""
    total = 0
    for pid in process_tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += psutil.Process(pid).memory_full_info().pss
    return total


class Watch:
    """Records the use of the CPU during all measurements."""

    def __init__(self, contestants: Sequence[Contestant]) -> None:
        self._contestants = contestants
        self._seconds: dict[str, float] = defaultdict(float)

    def measured(
        self, contestant: Contestant, measure: Callable[[Contestant], Result]
    ) -> tuple[Result, float]:
        """Measure a contestant once, and the CPU seconds of it and of this process meanwhile."""
        measured = set(process_tree(contestant.processes()))
        everyone = {pid for each in self._contestants for pid in process_tree(each.processes())}
        before = _snapshot(measured, everyone - measured)
        result = measure(contestant)
        after = _snapshot(measured, everyone - measured)
        # Where ticks are coarse, differences of sums can be slightly negative.
        used = {name: max(value - before[name], 0.0) for name, value in after.items()}
        for name, seconds in used.items():
            self._seconds[name] += seconds
        return result, used["measured"]

    def disturbance(self) -> dict[str, float]:
        """Sum up who else used the CPU, as shares of the machine's time."""
        total = self._seconds["wall"] * (psutil.cpu_count() or 1)
        names = ("idle_contestants", "foreign", "stolen")
        return {name: self._seconds[name] / total if total else 0.0 for name in names}


def _snapshot(measured: Iterable[int], others: Iterable[int]) -> dict[str, float]:
    times = psutil.cpu_times()
    busy = times.user + times.nice + times.system + times.irq + times.softirq
    ours, idle = (sum(map(cpu_seconds, pids)) for pids in (measured, others))
    ours += time.process_time()
    return {
        "wall": time.perf_counter(),
        "measured": ours,
        "idle_contestants": idle,
        "foreign": busy - ours - idle,
        "stolen": times.steal,
    }
