"""Parts ``fuzz``, ``load`` and ``requests``: damaged images, overload, memory that may not grow."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Mapping
from typing import Any

from tools.soak import decode_worker
from tools.soak.context import Context, Send
from tools.soak.endpoints import Endpoint
from tools.soak.hostile import truncations
from tools.soak.memory import memory_watched
from tools.soak.mutations import PIXELS, corpus, mutated
from tools.soak.report import Outcome, Report
from tritonpose_server.python_programs import isolated_python

_DAMAGED_PER_GOOD = 8
_MOST_MEMORY_MB = 300

_MOST_CAPACITY_SECONDS = 8.0
_CAPACITY_CONCURRENCY = 24

# A request that waits longer has been forgotten.
_DRAIN_SECONDS = 40.0

_MEMORY_SAMPLES = 90

# Enough that models batch, too few for any refusal.
_CONCURRENCY = 12
_EXPECTED_PER_SECOND = 60


async def run_fuzz(context: Context, report: Report) -> None:
    """Decode damaged images without a server, and send others to the service."""
    plan = context.plan
    if plan.decoded:
        context.progress(f"fuzz: decoding {plan.decoded} damaged images")
        await _decode(report, plan.seed, plan.decoded)
    clients, files, cut = context.clients(report), corpus(), list(truncations(PIXELS))

    async def send(endpoint: Endpoint, number: int) -> Outcome | None:
        if number < len(cut):
            name, data = cut[number]
        else:
            seed = plan.seed + number
            name, data = f"damaged image {seed}", mutated(seed, files)
        outcome = await clients.damaged(endpoint, data, name)
        if number % _DAMAGED_PER_GOOD == 0:
            other = context.endpoint(number // _DAMAGED_PER_GOOD)
            await clients.own_box(other)
            await clients.known(other)
        return outcome

    if plan.sent:
        context.progress(f"fuzz: sending {plan.sent} damaged images")
        await _send_unrefused(context, report, send, plan.sent)


async def run_requests(context: Context, report: Report) -> None:
    """Send many requests, one of ten of them bad."""
    count = context.plan.requests
    clients = context.clients(report)
    send = _mixed(context, {clients.known: 6, clients.own_box: 3, clients.refused: 1})
    interval = count / _EXPECTED_PER_SECOND / _MEMORY_SAMPLES
    async with memory_watched(context.service.processes, interval, report):
        await _send_unrefused(context, report, send, count)


async def run_load(context: Context, report: Report) -> None:
    """Send a multiple of what the service can do at random moments, whether it answers or not."""
    plan, clients = context.plan, context.clients(report)
    weights = {clients.known: 5, clients.own_box: 3, clients.refused: 1, clients.hang_up: 1}
    send = _mixed(context, weights)
    seconds = plan.minutes * 60
    good = _mixed(context, {clients.known: 1})
    capacity = await _capacity(context, good, min(seconds, _MOST_CAPACITY_SECONDS))
    rate = capacity * plan.overload
    report.figures["capacity, requests per second"] = f"{capacity:.0f}"
    report.figures["offered, requests per second"] = f"{rate:.0f}"
    context.progress(f"load: {rate:.0f} requests per second for {plan.minutes:g} minutes")
    async with memory_watched(context.service.processes, seconds / _MEMORY_SAMPLES, report):
        report.figures["sent"] = str(await _flood(context, report, send, rate, seconds))
    for endpoint in context.endpoints:
        if await clients.known(endpoint) != Outcome.ANSWERED:
            report.violate(f"{endpoint.name} gave no answer after the load")


async def _decode(report: Report, seed: int, count: int) -> None:
    """Decode in a process of its own, because the images may crash it."""
    process = await asyncio.create_subprocess_exec(
        *(*isolated_python(), "-m", decode_worker.__name__, str(seed), str(count)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        last = errors[-100:].decode(errors="replace")
        report.violate(f"the decoder crashed, status {process.returncode}: {last}")
        return
    found = json.loads(output)
    report.figures["decoded without a server"] = str(found["decoded"])
    report.figures["refused without a server"] = str(found["refused"])
    report.figures["slowest of them, ms of CPU"] = f"{found['slowest_s'] * 1000:.0f}"
    report.figures["most memory, MB"] = str(found["peak_mb"])
    for each in found["wrong_sizes"]:
        report.violate(f"damaged image {each} has a wrong size")
    if found["peak_mb"] > _MOST_MEMORY_MB:
        report.violate(f"decoding took {found['peak_mb']} MB")


def _mixed(context: Context, kinds: Mapping[Any, int]) -> Send:
    """Mix kinds of requests, methods of `Clients`, at random by their weights."""
    rng = random.Random(context.plan.seed)

    async def send(endpoint: Endpoint, _: int) -> Outcome | None:
        (kind,) = rng.choices(list(kinds), list(kinds.values()))
        outcome: Outcome | None = await kind(endpoint)
        return outcome

    return send


async def _send_unrefused(context: Context, report: Report, send: Send, count: int) -> None:
    """Send requests, too few at a time for any refusal."""

    async def checked(endpoint: Endpoint, number: int) -> Outcome | None:
        outcome = await send(endpoint, number)
        if outcome in (Outcome.REFUSED, Outcome.EXPIRED):
            report.violate(f"{endpoint.name} refused a request while it was not full")
        return outcome

    started = time.monotonic()
    await context.send_all(report.name, checked, range(count), _CONCURRENCY)
    report.figures["requests per second"] = f"{count / (time.monotonic() - started):.0f}"


async def _capacity(context: Context, send: Send, seconds: float) -> float:
    """Measure the good requests per second that are answered in a closed loop, at least one."""
    answered, started = 0, time.monotonic()
    end = started + seconds

    async def counted(endpoint: Endpoint, number: int) -> Outcome | None:
        nonlocal answered
        outcome = await send(endpoint, number)
        answered += outcome == Outcome.ANSWERED
        return outcome

    for_some_time = itertools.takewhile(lambda _: time.monotonic() < end, itertools.count())
    await context.send_all("load", counted, for_some_time, _CAPACITY_CONCURRENCY)
    return max(answered, 1) / (time.monotonic() - started)


async def _flood(context: Context, report: Report, send: Send, rate: float, seconds: float) -> int:
    """Send requests at a mean rate, whether they are answered or not (open loop); counts them."""
    rng = random.Random(context.plan.seed)
    show = context.reporter("load")
    started = due = time.monotonic()
    in_flight: set[asyncio.Future[Outcome | None]] = set()
    sent = 0

    def ended(task: asyncio.Future[Outcome | None]) -> None:
        in_flight.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            report.violate(f"a client failed: {type(error).__name__}: {error}"[:300])

    while due < started + seconds:
        await asyncio.sleep(max(due - time.monotonic(), 0))
        task = asyncio.ensure_future(send(context.endpoint(sent), sent))
        in_flight.add(task)
        task.add_done_callback(ended)
        sent += 1
        due += rng.expovariate(rate)
        show(f"{due - started:.0f} s, {sent} sent, {len(in_flight)} in flight")
    if in_flight:
        await asyncio.wait(in_flight, timeout=_DRAIN_SECONDS)
    for request in [task for task in in_flight if not task.done()]:
        request.cancel()
        report.violate("a request got no answer at all")
    return sent
