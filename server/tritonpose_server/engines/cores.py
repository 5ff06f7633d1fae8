"""How the streams of a model share the cores."""

from __future__ import annotations

from dataclasses import dataclass

from tritonpose_pipeline.cores import available_cores

_MAX_DEFAULT_STREAMS = 4


@dataclass(frozen=True)
class CorePlan:
    """The batches (streams) that run at the same time, and the threads of all of them together."""

    streams: int
    threads: int

    @property
    def threads_per_stream(self) -> int:
        """Return the threads of one batch."""
        return max(self.threads // self.streams, 1)


def plan_cores(
    streams: int | None, threads: int | None, *, cores_per_stream: int, cores: int | None = None
) -> CorePlan:
    """Choose streams and threads; never more threads than cores, at least one for each stream.

    ``cores_per_stream`` is what a stream of the engine makes good use of. None means for
    ``streams`` one per that many, at most four; for ``threads`` all cores; for ``cores`` those
    available.
    """
    cores = available_cores() if cores is None else cores
    total = min(threads or cores, cores)
    wanted = streams or min(max(cores // cores_per_stream, 1), _MAX_DEFAULT_STREAMS)
    return CorePlan(streams=min(wanted, total), threads=total)
