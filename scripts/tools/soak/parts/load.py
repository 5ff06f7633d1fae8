"""Part ``load``: more than the service can do, of everything, for a long time."""

from __future__ import annotations

import asyncio
import random
import time

from tools.soak.askers import Askers
from tools.soak.bench import Bench, PartReport, in_parallel
from tools.soak.memory import memory_watched
from tools.soak.plan import Plan
from tools.soak.tally import Outcome, Tally

_CAPACITY_SECONDS = 8.0
_CAPACITY_CONCURRENCY = 24
_CAPACITY_ROUND = 50

_SAMPLES = 90
_PROGRESS_SECONDS = 60.0

# Whoever waits longer has been forgotten.
_DRAIN_SECONDS = 40.0


async def run_load(bench: Bench, plan: Plan) -> PartReport:
    """Offer a multiple of what the service can do, whether it answers or not (open loop)."""
    report, tally = PartReport("load"), Tally()
    before = bench.service.processes()
    capacity = await _capacity(bench, tally)
    rate = capacity * plan.overload
    report.figures["capacity, requests per second"] = f"{capacity:.0f}"
    report.figures["offered, requests per second"] = f"{rate:.0f}"
    bench.progress(f"load: {rate:.0f} requests per second for {plan.minutes:g} minutes")
    seconds = plan.minutes * 60
    async with memory_watched(bench.service.processes, seconds / _SAMPLES) as memory:
        sent = await _offer(bench, bench.askers(tally), rate, seconds, tally)
    report.figures["sent"] = str(sent)
    await _recovers(bench, tally)
    report.add_tally(tally)
    report.add_memory(memory)
    report.compare_processes(before, bench.service.processes())
    return report


async def _capacity(bench: Bench, tally: Tally) -> float:
    """Good requests per second that are answered while as many wait as makes sense."""
    askers = bench.askers(tally)

    async def ask(number: int) -> None:
        await askers.good(bench.fronts[number % len(bench.fronts)])

    done, started = 0, time.monotonic()
    while time.monotonic() < started + _CAPACITY_SECONDS:
        await in_parallel(ask, _CAPACITY_ROUND, _CAPACITY_CONCURRENCY, lambda _: None)
        done += _CAPACITY_ROUND
    return done / (time.monotonic() - started)


async def _offer(bench: Bench, askers: Askers, rate: float, seconds: float, tally: Tally) -> int:
    """Send requests at random moments, so many per second; returns how many it were."""
    rng = random.Random(bench.seed)
    kinds = (askers.good, askers.given, askers.bad, askers.cancelled)
    started = time.monotonic()
    told = due = started
    under_way: set[asyncio.Task[Outcome | None]] = set()
    sent = 0
    while due < started + seconds:
        await asyncio.sleep(max(due - time.monotonic(), 0))
        ask = rng.choices(kinds, (5, 3, 1, 1))[0]
        task = asyncio.create_task(ask(bench.fronts[sent % len(bench.fronts)]))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        sent += 1
        due += rng.expovariate(rate)
        if time.monotonic() > told + _PROGRESS_SECONDS:
            told = time.monotonic()
            bench.progress(
                f"load: {told - started:.0f} s, {sent} sent, {len(under_way)} under way, "
                f"{tally.violation_count} violations"
            )
    if under_way:
        _, forgotten = await asyncio.wait(under_way, timeout=_DRAIN_SECONDS)
        for task in forgotten:
            tally.violate("a request got no answer at all")
            task.cancel()
    return sent


async def _recovers(bench: Bench, tally: Tally) -> None:
    """Once the load is over, every front answers at once."""
    askers = bench.askers(tally)
    for front in bench.fronts:
        if await askers.good(front) != Outcome.ANSWERED:
            tally.violate(f"{front.name} gave no answer after the load")
