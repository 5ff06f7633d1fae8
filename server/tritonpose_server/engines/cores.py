"""Divides the cores that may be used between the parallel streams of a model."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from tritonpose_server.engines.cpu_quota import cpu_quota

CORES_PER_STREAM = {"openvino": 1, "onnxruntime": 2}
"""What a stream makes good use of, by backend."""

_MAX_DEFAULT_STREAMS = 4


@dataclass(frozen=True)
class CorePlan:
    """How a model uses the machine.

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
    """Cores this process may run on: those it is bound to, within its containers' CPU limits.

    A limit of 1.5 cores counts as 2: with fewer threads, half a core would lie idle.
    """
    bound = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return bound if quota is None else min(bound, max(math.ceil(quota), 1))


def plan_cores(
    streams: int | None, threads: int | None, *, cores_per_stream: int, cores: int | None = None
) -> CorePlan:
    """Decide streams and threads; never more threads than cores.

    Args:
        streams: Streams asked for, None for one per ``cores_per_stream``, at most four.
        threads: Threads asked for, None for all cores.
        cores_per_stream: What a stream of the engine makes good use of.
        cores: Cores to divide, None for those available.

    Returns:
        The plan; every stream has at least one thread.
    """
    cores = available_cores() if cores is None else cores
    total = min(threads or cores, cores)
    wanted = streams or min(max(cores // cores_per_stream, 1), _MAX_DEFAULT_STREAMS)
    return CorePlan(streams=min(wanted, total), threads=total)
