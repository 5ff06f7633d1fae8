"""Part ``requests``: many requests, and memory stays as it is."""

from __future__ import annotations

import random
import time

from tools.soak.bench import Bench, PartReport, in_parallel
from tools.soak.memory import memory_watched
from tools.soak.plan import Plan
from tools.soak.tally import Outcome, Tally

# Enough that leaves batch, too few for anything to be refused.
_CONCURRENCY = 12
_SAMPLES = 60
_GUESSED_PER_SECOND = 60


async def run_requests(bench: Bench, plan: Plan) -> PartReport:
    """Send many requests, one of ten of them bad."""
    report, tally = PartReport("requests"), Tally()
    askers, rng = bench.askers(tally), random.Random(plan.seed)
    before = bench.service.processes()

    async def ask(number: int) -> None:
        front = bench.fronts[number % len(bench.fronts)]
        kind = rng.choices((askers.good, askers.given, askers.bad), (6, 3, 1))[0]
        if await kind(front) in (Outcome.REFUSED, Outcome.EXPIRED):
            tally.violate(f"{front.name} refused a request while it was not full")

    interval = plan.requests / _GUESSED_PER_SECOND / _SAMPLES
    started = time.monotonic()
    async with memory_watched(bench.service.processes, interval) as memory:
        await in_parallel(
            ask,
            plan.requests,
            _CONCURRENCY,
            lambda done: bench.progress(f"requests: {done} of {plan.requests}"),
        )
    report.figures["requests per second"] = f"{plan.requests / (time.monotonic() - started):.0f}"
    report.add_tally(tally)
    report.add_memory(memory)
    report.compare_processes(before, bench.service.processes())
    return report
