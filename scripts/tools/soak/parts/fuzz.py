"""Part ``fuzz``: damaged images, decoded without a server, and sent to the service."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from tools.soak import decode_worker
from tools.soak.bench import Bench, PartReport, in_parallel
from tools.soak.hostile import truncations
from tools.soak.mutations import PIXELS, corpus, mutated
from tools.soak.plan import Plan
from tools.soak.tally import Outcome, Tally

_CONCURRENCY = 12

# One good request beside so many damaged ones.
_DAMAGED_PER_GOOD = 8

_MOST_MEMORY_MB = 300


async def run_fuzz(bench: Bench, plan: Plan) -> PartReport:
    """Damage images and look at what becomes of them."""
    report = PartReport("fuzz")
    if plan.decoded:
        bench.progress(f"fuzz: decoding {plan.decoded} damaged images")
        await _decode(report, plan)
    if plan.sent:
        bench.progress(f"fuzz: sending {plan.sent} damaged images")
        await _send(bench, report, plan)
    return report


async def _decode(report: PartReport, plan: Plan) -> None:
    """In a process of its own, which they may crash."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", decode_worker.__name__, str(plan.seed), str(plan.decoded)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        last = errors[-100:].decode(errors="replace")
        report.violations.append(f"the decoder crashed, status {process.returncode}: {last}")
        return
    found = json.loads(output)
    report.figures["decoded without a server"] = str(found["decoded"])
    report.figures["refused without a server"] = str(found["refused"])
    report.figures["slowest of them, ms of CPU"] = f"{found['slowest_s'] * 1000:.0f}"
    report.figures["most memory, MB"] = str(found["peak_mb"])
    report.violations += [f"damaged image {seed} has a wrong size" for seed in found["wrong_sizes"]]
    if found["peak_mb"] > _MOST_MEMORY_MB:
        report.violations.append(f"decoding took {found['peak_mb']} MB")


async def _send(bench: Bench, report: PartReport, plan: Plan) -> None:
    tally = Tally()
    askers = bench.askers(tally)
    before = bench.service.processes()
    files = corpus()
    cut = list(truncations(PIXELS))

    async def ask(number: int) -> None:
        front = bench.fronts[number % len(bench.fronts)]
        if number < len(cut):
            name, data = cut[number]
        else:
            seed = plan.seed + number
            name, data = f"damaged image {seed}", mutated(seed, files)
        if await askers.damaged(front, data, name) in (Outcome.REFUSED, Outcome.EXPIRED):
            tally.violate(f"{front.name} refused a request while it was not full")
        if number % _DAMAGED_PER_GOOD == 0:
            other = bench.fronts[number // _DAMAGED_PER_GOOD % len(bench.fronts)]
            await askers.given(other)
            await askers.good(other)

    started = time.monotonic()
    await in_parallel(
        ask,
        plan.sent,
        _CONCURRENCY,
        lambda done: bench.progress(f"fuzz: {done} of {plan.sent}"),
    )
    report.figures["damaged images sent per second"] = (
        f"{plan.sent / (time.monotonic() - started):.0f}"
    )
    report.add_tally(tally)
    report.compare_processes(before, bench.service.processes())
