"""Part ``kills``: each process is killed under load, and the service comes back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from statistics import median

import aiohttp

from tritonpose_soak.bench import Bench, PartReport
from tritonpose_soak.endless_load import EndlessLoad
from tritonpose_soak.errors import SoakError
from tritonpose_soak.plan import Plan

_LONGEST_RECOVERY_SECONDS = 60.0

# After this a server that falls again is started again at once.
_PAUSE_SECONDS = 3.0
_POLL_SECONDS = 0.05
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
    seconds: dict[str, list[float]] = defaultdict(list)
    told: dict[str, list[float]] = defaultdict(list)
    load = EndlessLoad(bench)
    async with asyncio.TaskGroup() as tasks:
        load.start(tasks)
        for number, role in enumerate(victims):
            await asyncio.sleep(_PAUSE_SECONDS)
            bench.progress(f"kills: {number + 1} of {len(victims)}: {role}")
            unready = asyncio.create_task(_unready_after(bench.service.ready_url))
            needed = await _kill(bench, role, load)
            unready.cancel()
            await asyncio.wait({unready})
            if not unready.cancelled():
                told[role].append(unready.result())
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
        if told[role]:
            report.figures[f"{role}: not ready after, s (median, longest)"] = (
                f"{median(told[role]):.1f} {max(told[role]):.1f} ({len(told[role])} kills)"
            )
    load.tell(report)
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
            await asyncio.sleep(_POLL_SECONDS)


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
