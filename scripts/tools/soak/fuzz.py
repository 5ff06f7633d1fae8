"""Part ``fuzz``: damaged images, decoded without a server, and sent to the service."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from tools.soak import decode_worker
from tools.soak.clients import Clients
from tools.soak.context import Context, Outcome, Report
from tools.soak.hostile import truncations
from tools.soak.mutations import PIXELS, corpus, mutated
from tools.soak.schedule import in_parallel

_CONCURRENCY = 12
_DAMAGED_PER_GOOD = 8
_MOST_MEMORY_MB = 300


async def run_fuzz(context: Context, report: Report) -> None:
    """Damage images and check what becomes of them."""
    plan = context.plan
    if plan.decoded:
        context.progress(f"fuzz: decoding {plan.decoded} damaged images")
        await _decode(report, plan.seed, plan.decoded)
    if plan.sent:
        context.progress(f"fuzz: sending {plan.sent} damaged images")
        await _send(context, report)


async def _decode(report: Report, seed: int, count: int) -> None:
    """Decode in a process of its own, because the images may crash it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", decode_worker.__name__, str(seed), str(count)),
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


async def _send(context: Context, report: Report) -> None:
    plan, endpoints = context.plan, context.endpoints
    clients = Clients(context.pictures, context.refused, report, plan.seed)
    files = corpus()
    cut = list(truncations(PIXELS))

    async def send(number: int) -> None:
        endpoint = endpoints[number % len(endpoints)]
        if number < len(cut):
            name, data = cut[number]
        else:
            seed = plan.seed + number
            name, data = f"damaged image {seed}", mutated(seed, files)
        if await clients.damaged(endpoint, data, name) in (Outcome.REFUSED, Outcome.EXPIRED):
            report.violate(f"{endpoint.name} refused a request while it was not full")
        if number % _DAMAGED_PER_GOOD == 0:
            other = endpoints[number // _DAMAGED_PER_GOOD % len(endpoints)]
            await clients.own_box(other)
            await clients.known(other)

    started = time.monotonic()
    await in_parallel(send, plan.sent, _CONCURRENCY, lambda line: context.progress(f"fuzz: {line}"))
    rate = plan.sent / (time.monotonic() - started)
    report.figures["damaged images sent per second"] = f"{rate:.0f}"
