"""Part ``reloads``: models are unloaded and loaded again under load."""

from __future__ import annotations

import asyncio
import random
import time

import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from tools.soak.bench import Bench, PartReport
from tools.soak.endless_load import EndlessLoad
from tools.soak.plan import Plan
from tools.soak.turns import LONGEST_SECONDS, POLL_SECONDS, take_turns

_PAUSE_SECONDS = 1.0

# Sometimes the pipeline, asked meanwhile, loads the model itself, and sometimes it has no time to.
_LONGEST_ABSENCE_SECONDS = 0.5


async def run_reloads(bench: Bench, plan: Plan) -> PartReport:
    """Unload and load each model so many times, in random order."""
    report = PartReport("reloads")
    service = bench.service
    before, models = service.processes(), service.models()
    rng = random.Random(plan.seed)
    turns = models * plan.reloads
    rng.shuffle(turns)
    address = service.addresses.grpc.removeprefix("grpc://")
    async with triton.InferenceServerClient(address) as control:

        async def act(model: str, load: EndlessLoad) -> float | None:
            absence = rng.uniform(0, _LONGEST_ABSENCE_SECONDS)
            return await _reload(bench, control, model, absence, load)

        await take_turns(bench, report, turns, _PAUSE_SECONDS, act)
    after = service.processes()
    for servable in models:
        before.pop(servable, None)
    report.compare_processes(before, after)
    return report


async def _reload(
    bench: Bench,
    control: triton.InferenceServerClient,
    model: str,
    absence: float,
    load: EndlessLoad,
) -> float | None:
    """Unload and load a model; returns the seconds until all fronts answer, None if they don't.

    Args:
        bench: What is asked.
        control: Triton.
        model: The model.
        absence: Seconds from its unloading to its loading.
        load: Who asks.
    """
    started = time.monotonic()
    headers = bench.service.control_headers
    try:
        await control.unload_model(model, headers=headers)
        await asyncio.sleep(absence)
        await control.load_model(model, headers=headers)
    except InferenceServerException as error:
        load.tally.violate(f"{model} can't be unloaded or loaded: {error}")
    loaded = time.monotonic()
    while time.monotonic() < started + LONGEST_SECONDS:
        if all(load.answered_after(front, loaded) for front in bench.fronts):
            return time.monotonic() - started
        await asyncio.sleep(POLL_SECONDS)
    return None
