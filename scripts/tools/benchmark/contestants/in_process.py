"""PaddleX's pipeline and the bare engine: each works in a process of its own, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tools.benchmark.contestants.base import Contestant, Role
from tools.benchmark.load import Rate
from tools.benchmark.shots import Shot
from tools.benchmark.workers.process import WorkerProcess
from tritonpose.transport.messages import PoseResponse


class InProcessContestant(Contestant):
    """A pipeline in a worker process, which times itself.

    Args:
        key: See `Contestant`.
        label: See `Contestant`.
        role: See `Contestant`.
        parallel: See `Contestant`.
        worker: Serves ``answer``, ``time_each`` and ``rate``; closed with this.
    """

    def __init__(
        self, key: str, label: str, role: Role, *, parallel: bool, worker: WorkerProcess
    ) -> None:
        super().__init__(key, label, role, parallel=parallel)
        self.worker = worker

    def answer(self, shot: Shot) -> PoseResponse:
        """The persons in an image."""
        return _response(self.worker.call("answer", shot=_plain(shot)))

    def time_each(self, shots: Sequence[Shot]) -> list[float]:
        """Seconds that each image takes, one after the other."""
        seconds: list[float] = self.worker.call("time_each", shots=[_plain(shot) for shot in shots])
        return seconds

    def rate(self, shots: Sequence[Shot], concurrency: int, skip: int, count: int) -> Rate:
        """How many images per second it answers with so many under way; see `measure_rate`."""
        per_second, images = self.worker.call(
            "rate",
            shots=[_plain(shot) for shot in shots],
            concurrency=concurrency,
            skip=skip,
            count=count,
        )
        return Rate(per_second, images)

    def processes(self) -> list[int]:
        """The worker."""
        return [self.worker.pid]

    def close(self) -> None:
        """End the worker."""
        self.worker.close()


def _plain(shot: Shot) -> dict[str, object]:
    return {"path": str(shot.path), "det_threshold": shot.det_threshold}


def _response(persons: Mapping[str, Any]) -> PoseResponse:
    def array(name: str, *shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array(persons[name], np.float32).reshape(-1, *shape)

    return PoseResponse(
        array("boxes", 4), array("det_scores"), array("keypoints", 17, 3), array("kpt_scores")
    )
