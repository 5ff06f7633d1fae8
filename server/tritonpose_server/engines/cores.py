"""How the streams of a model share the cores."""

from __future__ import annotations

from dataclasses import dataclass

from tritonpose_pipeline.cores import available_cores

# Streams of one thread compute the most images, but the crops of a single request would leave cores
# idle: beyond four streams each has two threads. Each takes 10 to 20 MB, so sixteen are enough.
_FULL_STREAMS, _MOST_STREAMS = 4, 16


@dataclass(frozen=True)
class CorePlan:
    """The batches (streams) that run at the same time, and the threads of all of them together."""

    streams: int
    threads: int


def plan_cores(
    streams: int | None, threads: int | None, *, cores_per_stream: int, cores: int | None = None
) -> CorePlan:
    """Choose streams and threads; never more threads than cores, at least one for each stream.

    ``cores_per_stream`` is what a stream of the engine makes good use of. None means for
    ``streams`` one per that many up to four, then one per two cores, at most sixteen; for
    ``threads`` all cores; for ``cores`` those available.
    """
    cores = available_cores() if cores is None else cores
    total = min(threads or cores, cores)
    bound = min(max(cores // 2, _FULL_STREAMS), _MOST_STREAMS)
    wanted = streams or min(max(cores // cores_per_stream, 1), bound)
    return CorePlan(streams=min(wanted, total), threads=total)
