"""Parts ``load`` and ``requests``: overload for a long time, and memory that must not grow."""

from __future__ import annotations

import random
import time

from tools.soak.clients import Clients
from tools.soak.context import Context, Outcome, Report
from tools.soak.memory import memory_watched
from tools.soak.schedule import at_random_moments, in_parallel

_CAPACITY_SECONDS = 8.0
_CAPACITY_CONCURRENCY = 24
_CAPACITY_ROUND = 50

_SAMPLES = 90

# Enough that models batch, too few for any refusal.
_CONCURRENCY = 12
_EXPECTED_PER_SECOND = 60


async def run_load(context: Context, report: Report) -> None:
    """Send a multiple of what the service can do, whether it answers or not."""
    plan, endpoints = context.plan, context.endpoints
    clients = Clients(context.pictures, context.refused, report, plan.seed)
    rng = random.Random(plan.seed)
    kinds = (clients.known, clients.own_box, clients.refused, clients.hang_up)

    async def send(number: int) -> Outcome | None:
        (kind,) = rng.choices(kinds, (5, 3, 1, 1))
        return await kind(endpoints[number % len(endpoints)])

    capacity = await _capacity(context, clients)
    rate = capacity * plan.overload
    report.figures["capacity, requests per second"] = f"{capacity:.0f}"
    report.figures["offered, requests per second"] = f"{rate:.0f}"
    context.progress(f"load: {rate:.0f} requests per second for {plan.minutes:g} minutes")
    seconds = plan.minutes * 60
    async with memory_watched(context.service.processes, seconds / _SAMPLES, report):
        sent, forgotten = await at_random_moments(
            send, rate, seconds, plan.seed, lambda line: context.progress(f"load: {line}")
        )
    report.figures["sent"] = str(sent)
    for _ in range(forgotten):
        report.violate("a request got no answer at all")
    for endpoint in endpoints:
        if await clients.known(endpoint) != Outcome.ANSWERED:
            report.violate(f"{endpoint.name} gave no answer after the load")


async def run_requests(context: Context, report: Report) -> None:
    """Send many requests, one of ten of them bad."""
    plan, endpoints = context.plan, context.endpoints
    clients = Clients(context.pictures, context.refused, report, plan.seed)
    rng = random.Random(plan.seed)

    async def send(number: int) -> None:
        endpoint = endpoints[number % len(endpoints)]
        (kind,) = rng.choices((clients.known, clients.own_box, clients.refused), (6, 3, 1))
        if await kind(endpoint) in (Outcome.REFUSED, Outcome.EXPIRED):
            report.violate(f"{endpoint.name} refused a request while it was not full")

    interval = plan.requests / _EXPECTED_PER_SECOND / _SAMPLES
    started = time.monotonic()
    async with memory_watched(context.service.processes, interval, report):
        await in_parallel(
            send,
            plan.requests,
            _CONCURRENCY,
            lambda line: context.progress(f"requests: {line}"),
        )
    report.figures["requests per second"] = f"{plan.requests / (time.monotonic() - started):.0f}"


async def _capacity(context: Context, clients: Clients) -> float:
    """Measure the good requests per second that are answered in a closed loop."""
    endpoints = context.endpoints
    done, started = 0, time.monotonic()
    while time.monotonic() < started + _CAPACITY_SECONDS:
        await in_parallel(
            lambda number: clients.known(endpoints[number % len(endpoints)]),
            _CAPACITY_ROUND,
            _CAPACITY_CONCURRENCY,
            context.progress,
        )
        done += _CAPACITY_ROUND
    return done / (time.monotonic() - started)
