"""Whether memory stays as it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import median

from tools.soak.processes import resident_bytes, shared_memory_bytes

SHARED_MEMORY = "/dev/shm"  # noqa: S108

# Allocators keep what was freed, here more and there less.
_TOLERATED_SHARE, _TOLERATED_BYTES = 0.03, 8_000_000

_FEWEST_SAMPLES = 6

# In less, processes are still warming up.
_LEAST_SECONDS = 180.0


class MemoryLog:
    """Sizes over time, by role of a process, and of shared memory.

    Attributes:
        seconds: Over how long they were taken.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.seconds = 0.0
        self._samples: dict[str, list[int]] = defaultdict(list)

    def sample(self, processes: Mapping[str, int]) -> None:
        """Note the sizes of now."""
        for role, size in resident_bytes(processes).items():
            self._samples[role].append(size)
        self._samples[SHARED_MEMORY].append(shared_memory_bytes(processes))

    def figures(self) -> dict[str, str]:
        """By role, the sizes at the beginning, before the last third and at the end."""
        return {
            f"memory of {role}, MB": " ".join(
                f"{size / 1e6:.0f}" for size in (sizes[0], *levels(sizes))
            )
            for role, sizes in self._samples.items()
            if len(sizes) >= _FEWEST_SAMPLES
        }

    def violations(self) -> list[str]:
        """What has grown; nothing where the time was too short to tell."""
        if self.seconds < _LEAST_SECONDS:
            return []
        return [
            f"memory of {role} grew from {before / 1e6:.0f} to {after / 1e6:.0f} MB"
            for role, sizes in self._samples.items()
            if len(sizes) >= _FEWEST_SAMPLES
            for before, after in [levels(sizes)]
            if has_grown(before, after)
        ]


def levels(sizes: Sequence[int]) -> tuple[float, float]:
    """Medians of the middle and of the last third; the first is for warming up."""
    third = len(sizes) // 3
    return median(sizes[third:-third]), median(sizes[-third:])


def has_grown(before: float, after: float) -> bool:
    """Whether a level is above another by more than allocators' whims."""
    return after > before * (1 + _TOLERATED_SHARE) + _TOLERATED_BYTES


@asynccontextmanager
async def memory_watched(
    processes: Callable[[], Mapping[str, int]], interval: float
) -> AsyncIterator[MemoryLog]:
    """Sample as long as the context lasts.

    Args:
        processes: Gives the processes by role.
        interval: Seconds between two samples.
    """
    log, started = MemoryLog(), time.monotonic()

    async def watch() -> None:
        while True:
            await asyncio.sleep(interval)
            log.sample(await asyncio.to_thread(processes))

    task = asyncio.create_task(watch())
    try:
        yield log
    finally:
        log.seconds = time.monotonic() - started
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
