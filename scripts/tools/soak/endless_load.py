"""Load that goes on while something is done to the service."""

from __future__ import annotations

import asyncio
import time

from tools.soak.bench import Bench, PartReport
from tools.soak.fronts import Front
from tools.soak.pictures import differences
from tools.soak.tally import Outcome, Tally
from tritonpose.errors import TritonPoseError
from tritonpose.transport import connect_async
from tritonpose.transport.messages import InferRequest

_CLIENTS_PER_FRONT = 2
_RETRYING_CLIENTS = 2
_PATIENCE_SECONDS = 90.0

# More than any recovery takes.
_RETRIES = 1000
_PAUSE_SECONDS = 0.05


class EndlessLoad:
    """Clients that ask without end: some give up when refused, others try again.

    Args:
        bench: What is asked.

    Attributes:
        tally: What became of it.
        retried: Answers to those who try again.
    """

    def __init__(self, bench: Bench) -> None:
        self.tally = Tally()
        self.retried = 0
        self._bench = bench
        self._askers = bench.askers(self.tally, any_refusal=True)
        # When the last request was sent that a front has answered.
        self._answered: dict[str, float] = {}
        self._stopped = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin."""
        for front in self._bench.fronts:
            for _ in range(_CLIENTS_PER_FRONT):
                tasks.create_task(self._ask(front))
        for url in (self._bench.service.addresses.grpc, self._bench.service.addresses.http):
            for _ in range(_RETRYING_CLIENTS):
                tasks.create_task(self._retry(url))

    def stop(self) -> None:
        """End; requests under way end by themselves."""
        self._stopped = True

    def answered_after(self, front: Front, moment: float) -> bool:
        """Whether a front has answered a request that was sent after a moment."""
        return self._answered.get(front.name, 0.0) > moment

    def tell(self, report: PartReport) -> None:
        """Add to a report what became of it."""
        report.add_tally(self.tally)
        report.figures["answers of the retrying client"] = str(self.retried)
        if not self.retried:
            report.violations.append("the retrying client got no answer")

    async def _ask(self, front: Front) -> None:
        while not self._stopped:
            started = time.monotonic()
            if await self._askers.given(front) == Outcome.ANSWERED:
                self._answered[front.name] = max(started, self._answered.get(front.name, 0.0))
            else:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _retry(self, url: str) -> None:
        """The project's client, told to try again: it must not lose a single answer."""
        transport = connect_async(url, _PATIENCE_SECONDS, retries=_RETRIES)
        picture = self._bench.pictures[0]
        try:
            while not self._stopped:
                answer = await transport.infer(InferRequest(image=picture.data))
                self.retried += 1
                wrong = differences(answer, picture.answer)
                if wrong:
                    self.tally.violate(f"the retrying client got a wrong answer: {wrong}")
        except TritonPoseError as error:
            self.tally.violate(f"the retrying client lost an answer: {error}")
        finally:
            await transport.close()
