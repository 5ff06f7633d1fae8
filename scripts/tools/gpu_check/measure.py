"""How fast an engine computes batches."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from tools.gpu_check.engines import Images, Runner

_WARM_UPS = 3
_FEWEST_RUNS = 3


@dataclass(frozen=True)
class Speed:
    """Speed at one batch size, copies from and to the CPU included.

    Attributes:
        batch: Images at a time.
        per_second: Images per second: persons for keypoint models.
        median_ms: Of one batch.
        runs: Batches that were timed.
    """

    batch: int
    per_second: float
    median_ms: float
    runs: int


def measure(runner: Runner, images: Images, batch: int, seconds: float) -> Speed:
    """Run one batch over and over.

    Args:
        runner: The model.
        images: uint8 ``[n, h, w, 3]``; repeated to fill the batch.
        batch: Images at a time.
        seconds: How long at least; never less than three runs.
    """
    repeated = images[[index % len(images) for index in range(batch)]]
    for _ in range(_WARM_UPS):
        runner.run(repeated)
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < _FEWEST_RUNS or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        runner.run(repeated)
        times.append(time.perf_counter() - start)
    return Speed(
        batch=batch,
        per_second=batch * len(times) / sum(times),
        median_ms=1000 * statistics.median(times),
        runs=len(times),
    )
