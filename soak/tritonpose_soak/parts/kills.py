"""Part ``kills``: each process is killed under load, and the service comes back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from statistics import median

from tritonpose.errors import TritonPoseError
from tritonpose.transport import connect_async
from tritonpose.transport.messages import PoseRequest
from tritonpose_soak.bench import Bench, PartReport
from tritonpose_soak.errors import SoakError
from tritonpose_soak.fronts import Front
from tritonpose_soak.pictures import differences
from tritonpose_soak.plan import Plan
from tritonpose_soak.tally import Outcome, Tally

_CLIENTS_PER_FRONT = 2
_RETRYING_CLIENTS = 2
_PATIENCE_SECONDS = 90.0

# More than any recovery takes.
_RETRIES = 1000
_LONGEST_RECOVERY_SECONDS = 60.0

# After this a server that falls again is started again at once.
_PAUSE_SECONDS = 3.0
_POLL_SECONDS = 0.05


async def run_kills(bench: Bench, plan: Plan) -> PartReport:
    """Kill each process so many times, in random order.

    Raises:
        SoakError: The plan names a process that there is not.
    """
    report = PartReport("kills")
    mortal = bench.service.mortal()
    unknown = set(plan.roles or ()) - set(mortal)
    if unknown:
        raise SoakError(f"no process {', '.join(sorted(unknown))}; there are {', '.join(mortal)}")
    victims = list(plan.roles or mortal) * plan.kills
    random.Random(plan.seed).shuffle(victims)
    seconds: dict[str, list[float]] = defaultdict(list)
    load = _Load(bench)
    async with asyncio.TaskGroup() as tasks:
        load.start(tasks)
        for number, role in enumerate(victims):
            await asyncio.sleep(_PAUSE_SECONDS)
            bench.progress(f"kills: {number + 1} of {len(victims)}: {role}")
            needed = await _kill(bench, role, load)
            if needed is None:
                load.tally.violate(
                    f"not whole again {_LONGEST_RECOVERY_SECONDS:g} s after {role} was killed"
                )
                break
            seconds[role].append(needed)
        load.stop()
    for role, times in seconds.items():
        report.figures[f"{role}: recovered after, s (median, longest)"] = (
            f"{median(times):.1f} {max(times):.1f} ({len(times)} kills)"
        )
    report.add_tally(load.tally)
    report.figures["answers of the retrying client"] = str(load.retried)
    if not load.retried:
        report.violations.append("the retrying client got no answer")
    return report


async def _kill(bench: Bench, role: str, load: _Load) -> float | None:
    """Kill a process; returns the seconds until the service is whole again, None if it is not.

    It is whole when that role has another process, and all fronts have answered a request that
    was sent after that.
    """
    victim = bench.service.processes().get(role)
    if victim is None:
        return None
    started = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    deadline = started + _LONGEST_RECOVERY_SECONDS
    replaced = None
    while time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        now = time.monotonic()
        if replaced is None:
            processes = await asyncio.to_thread(bench.service.processes)
            if processes.get(role) not in (None, victim):
                replaced = now
        elif all(load.answered_after(front, replaced) for front in bench.fronts):
            return now - started
    return None


class _Load:
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

    async def _ask(self, front: Front) -> None:
        while not self._stopped:
            started = time.monotonic()
            if await self._askers.given(front) == Outcome.ANSWERED:
                self._answered[front.name] = max(started, self._answered.get(front.name, 0.0))
            else:
                await asyncio.sleep(_POLL_SECONDS)

    async def _retry(self, url: str) -> None:
        """The project's client, told to try again: it must not lose a single answer."""
        transport = connect_async(url, _PATIENCE_SECONDS, retries=_RETRIES)
        picture = self._bench.pictures[0]
        try:
            while not self._stopped:
                answer = await transport.infer(PoseRequest(image=picture.data))
                self.retried += 1
                wrong = differences(answer, picture.answer)
                if wrong:
                    self.tally.violate(f"the retrying client got a wrong answer: {wrong}")
        except TritonPoseError as error:
            self.tally.violate(f"the retrying client lost an answer: {error}")
        finally:
            await transport.close()
