"""Contestants that measure nothing: their figures are given."""

from __future__ import annotations

from collections.abc import Sequence

from poses import people
from tools.benchmark.contestants import Contestant, Role
from tools.benchmark.load import Rate
from tools.benchmark.workload import Sample
from tritonpose.transport.messages import PoseResponse

NOBODY = people(0)


class GivenContestant(Contestant):
    """Takes its figures from lists, one per call.

    Attributes:
        calls: One line per call, shared with others for their order.
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
        answer: PoseResponse = NOBODY,
        pids: Sequence[int] = (),
    ) -> None:
        super().__init__(key, f"label of {key}", role, parallel=parallel)
        self.calls = [] if calls is None else calls
        self._seconds = list(seconds)
        self._rates = list(rates)
        self._answer = answer
        self._pids = list(pids)

    def answer(self, sample: Sample) -> PoseResponse:
        self.calls.append(f"{self.key} answers {sample.path.name}")
        return self._answer

    def time_each(self, samples: Sequence[Sample]) -> list[float]:
        self.calls.append(f"{self.key} times {len(samples)}")
        return [self._seconds.pop(0) for _ in samples]

    def rate(self, samples: Sequence[Sample], concurrency: int, skip: int, count: int) -> Rate:
        assert samples
        self.calls.append(f"{self.key} rates {concurrency} {skip} {count}")
        return Rate(self._rates.pop(0), skip + count)

    def processes(self) -> list[int]:
        return self._pids

    def close(self) -> None:
        pass
