"""Divides the machine's cores between the parallel streams of a leaf."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class CorePlan:
    """How a leaf uses the machine.

    Attributes:
        streams: Batches that run at the same time.
        threads: Threads of all streams together.
    """

    streams: int
    threads: int

    @property
    def threads_per_stream(self) -> int:
        """Threads of one batch."""
        return max(self.threads // self.streams, 1)


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


_MAX_DEFAULT_STREAMS = 4


def plan_cores(streams: int | None, threads: int | None, *, cores_per_stream: int) -> CorePlan:
    """Decide streams and threads; never more threads than cores.

    Args:
        streams: Streams asked for, None for one per ``cores_per_stream``, at most four.
        threads: Threads asked for, None for all cores.
        cores_per_stream: What a stream of the engine makes good use of.

    Returns:
        The plan; every stream has at least one thread.
    """
    cores = available_cores()
    total = min(threads or cores, cores)
    wanted = streams or min(max(cores // cores_per_stream, 1), _MAX_DEFAULT_STREAMS)
    return CorePlan(streams=min(wanted, total), threads=total)
