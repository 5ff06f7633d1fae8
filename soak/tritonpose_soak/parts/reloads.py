"""Part ``reloads``: models are unloaded and loaded again under load."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from statistics import median

import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from tritonpose_soak.bench import Bench, PartReport
from tritonpose_soak.endless_load import EndlessLoad
from tritonpose_soak.plan import Plan

_LONGEST_RELOAD_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_POLL_SECONDS = 0.05

# Sometimes the pipeline, asked meanwhile, loads the model itself, and sometimes it has no time to.
_LONGEST_ABSENCE_SECONDS = 0.5


async def run_reloads(bench: Bench, plan: Plan) -> PartReport:
    """Unload and load each leaf model so many times, in random order."""
    report = PartReport("reloads")
    service = bench.service
    before, leaves = service.processes(), service.leaves()
    rng = random.Random(plan.seed)
    turns = leaves * plan.reloads
    rng.shuffle(turns)
    seconds: dict[str, list[float]] = defaultdict(list)
    load = EndlessLoad(bench)
    async with (
        triton.InferenceServerClient(service.addresses.grpc.removeprefix("grpc://")) as control,
        asyncio.TaskGroup() as tasks,
    ):
        load.start(tasks)
        for number, model in enumerate(turns):
            await asyncio.sleep(_PAUSE_SECONDS)
            bench.progress(f"reloads: {number + 1} of {len(turns)}: {model}")
            absence = rng.uniform(0, _LONGEST_ABSENCE_SECONDS)
            needed = await _reload(bench, control, model, absence, load)
            if needed is None:
                load.tally.violate(
                    f"not whole again {_LONGEST_RELOAD_SECONDS:g} s after {model} was unloaded"
                )
                break
            seconds[model].append(needed)
        load.stop()
    for model, times in seconds.items():
        report.figures[f"{model}: answers again after, s (median, longest)"] = (
            f"{median(times):.1f} {max(times):.1f} ({len(times)} times)"
        )
    load.tell(report)
    after = service.processes()
    for leaf in leaves:
        before.pop(leaf, None)
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
    while time.monotonic() < started + _LONGEST_RELOAD_SECONDS:
        if all(load.answered_after(front, loaded) for front in bench.fronts):
            return time.monotonic() - started
        await asyncio.sleep(_POLL_SECONDS)
    return None
