"""Check that memory does not grow."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import psutil

from tools.soak.report import Report
from tools.soak.service import TRITON

SHARED_MEMORY = "/dev/shm"  # noqa: S108

# Allocators keep some of what was freed.
_TOLERATED_SHARE, _TOLERATED_BYTES = 0.03, 8_000_000

_FEWEST_SAMPLES = 6

# In less time, processes are still warming up.
_LEAST_SECONDS = 180.0


@asynccontextmanager
async def memory_watched(
    processes: Callable[[], Mapping[str, int]], interval: float, report: Report
) -> AsyncIterator[None]:
    """Measure memory each ``interval`` seconds, and report its sizes and growth."""
    sizes: dict[str, list[int]] = defaultdict(list)
    started = time.monotonic()

    def measure() -> None:
        for role, size in memory_sizes(processes()).items():
            sizes[role].append(size)

    async def watch() -> None:
        while True:
            await asyncio.sleep(interval)
            await asyncio.to_thread(measure)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        report_growth(sizes, time.monotonic() - started, report)


def report_growth(sizes: Mapping[str, Sequence[int]], seconds: float, report: Report) -> None:
    """Report bytes at the beginning, before the last third and at the end, and what has grown.

    In a short time nothing counts as growth.
    """
    for role, measured in sizes.items():
        if len(measured) < _FEWEST_SAMPLES:
            continue
        before, after = levels(measured)
        report.figures[f"memory of {role}, MB"] = " ".join(
            f"{size / 1e6:.0f}" for size in (measured[0], before, after)
        )
        if seconds >= _LEAST_SECONDS and has_grown(before, after):
            report.violate(f"memory of {role} grew from {before / 1e6:.0f} to {after / 1e6:.0f} MB")


def levels(sizes: Sequence[int]) -> tuple[float, float]:
    """Compute the medians of the middle and of the last third; the first is for warming up."""
    third = len(sizes) // 3
    return median(sizes[third:-third]), median(sizes[-third:])


def has_grown(before: float, after: float) -> bool:
    """Whether a level is above another by more than allocators explain."""
    return after > before * (1 + _TOLERATED_SHARE) + _TOLERATED_BYTES


def memory_sizes(processes: Mapping[str, int]) -> dict[str, int]:
    """Measure bytes of resident memory by role, and of Triton's shared memory by itself."""
    sizes = {}
    for role, pid in processes.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = psutil.Process(pid).memory_info()
            sizes[role] = memory.rss - memory.shared
    sizes[SHARED_MEMORY] = 0
    with contextlib.suppress(psutil.NoSuchProcess, KeyError):
        arguments = psutil.Process(processes[TRITON]).cmdline()
        server_id = next(each for each in arguments if each.startswith("--id=")).split("=")[1]
        for path in Path(SHARED_MEMORY).glob(f"{server_id}*"):
            with contextlib.suppress(FileNotFoundError):
                sizes[SHARED_MEMORY] += path.stat().st_size
    return sizes
