"""Part ``kills``: each process is killed under load, and the service comes back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import defaultdict

import aiohttp

from tools.errors import SoakError
from tools.soak.bench import Bench, PartReport
from tools.soak.endless_load import EndlessLoad
from tools.soak.plan import Plan
from tools.soak.turns import LONGEST_SECONDS, POLL_SECONDS, spans, take_turns

# After this a server that falls again is started again at once.
_PAUSE_SECONDS = 3.0
_LONGEST_ANSWER_SECONDS = 1.0


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
    told: dict[str, list[float]] = defaultdict(list)

    async def act(role: str, load: EndlessLoad) -> float | None:
        unready = asyncio.create_task(_unready_after(bench.service.ready_url))
        needed = await _kill(bench, role, load)
        unready.cancel()
        await asyncio.wait({unready})
        if not unready.cancelled():
            told[role].append(unready.result())
        return needed

    await take_turns(bench, report, victims, _PAUSE_SECONDS, act)
    report.figures |= spans(told, "not ready after")
    return report


async def _unready_after(url: str) -> float:
    """Seconds until a service says that it is not ready, or says nothing."""
    started = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=_LONGEST_ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            try:
                async with session.get(url) as response:
                    ready = response.ok
            except (aiohttp.ClientError, asyncio.TimeoutError):
                ready = False
            if not ready:
                return time.monotonic() - started
            await asyncio.sleep(POLL_SECONDS)


async def _kill(bench: Bench, role: str, load: EndlessLoad) -> float | None:
    """Kill a process; returns the seconds until the service is whole again, None if it is not.

    It is whole when that role has another process, and all fronts have answered a request that
    was sent after that.
    """
    victim = bench.service.processes().get(role)
    if victim is None:
        return None
    started = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    deadline = started + LONGEST_SECONDS
    replaced = None
    while time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        now = time.monotonic()
        if replaced is None:
            processes = await asyncio.to_thread(bench.service.processes)
            if processes.get(role) not in (None, victim):
                replaced = now
        elif all(load.answered_after(front, replaced) for front in bench.fronts):
            return now - started
    return None
