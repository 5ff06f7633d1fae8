"""Contestants that measure nothing: their figures are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.benchmark.contestants.base import Contestant, Role
from tools.benchmark.load import Rate
from tools.benchmark.shots import Shot
from tritonpose.transport.messages import PoseResponse

NOBODY = PoseResponse(*(np.zeros(shape, np.float32) for shape in ((0, 4), 0, (0, 17, 3), 0)))


class GivenContestant(Contestant):
    """Takes its figures from lists, one per call.

    Attributes:
        calls: What it was asked, one line per call, shared with others for their order.
    """

    def __init__(
        self,
        key: str,
        role: Role = "ours",
        *,
        parallel: bool = True,
        seconds: Sequence[float] = (),
        rates: Sequence[float] = (),
        calls: list[str] | None = None,
        people: PoseResponse = NOBODY,
    ) -> None:
        super().__init__(key, f"label of {key}", role, parallel=parallel)
        self.calls = [] if calls is None else calls
        self._seconds = list(seconds)
        self._rates = list(rates)
        self._people = people

    def answer(self, shot: Shot) -> PoseResponse:
        self.calls.append(f"{self.key} answers {shot.path.name}")
        return self._people

    def time_each(self, shots: Sequence[Shot]) -> list[float]:
        self.calls.append(f"{self.key} times {len(shots)}")
        return [self._seconds.pop(0) for _ in shots]

    def rate(self, shots: Sequence[Shot], concurrency: int, skip: int, count: int) -> Rate:
        assert shots
        self.calls.append(f"{self.key} rates {concurrency} {skip} {count}")
        return Rate(self._rates.pop(0), skip + count)

    def processes(self) -> list[int]:
        return []

    def close(self) -> None:
        self.calls.append(f"{self.key} closes")
