"""Things done to the service under load, one after the other."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from tools.soak.bench import Bench, PartReport
from tools.soak.endless_load import EndlessLoad

LONGEST_SECONDS = 60.0
"""Whoever is not whole again after this will not be."""

POLL_SECONDS = 0.05


async def take_turns(
    bench: Bench,
    report: PartReport,
    turns: Sequence[str],
    pause: float,
    act: Callable[[str, EndlessLoad], Awaitable[float | None]],
) -> None:
    """Do something to one part of the service after the other, under load.

    Args:
        bench: What is asked.
        report: Gets the seconds by part, and what became of the load.
        turns: Names of the parts, in order.
        pause: Seconds before each turn.
        act: Does it; returns the seconds until the service was whole again, None if it was not
            after `LONGEST_SECONDS`.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    load = EndlessLoad(bench)
    async with asyncio.TaskGroup() as tasks:
        load.start(tasks)
        for number, name in enumerate(turns):
            await asyncio.sleep(pause)
            bench.progress(f"{report.name}: {number + 1} of {len(turns)}: {name}")
            needed = await act(name, load)
            if needed is None:
                load.tally.violate(f"not whole again {LONGEST_SECONDS:g} s after {name}'s turn")
                break
            seconds[name].append(needed)
        load.stop()
    report.figures |= spans(seconds, "recovered after")
    load.tell(report)


def spans(seconds: dict[str, list[float]], what: str) -> dict[str, str]:
    """Median and longest of the seconds of each part, as figures of a report."""
    return {
        f"{name}: {what}, s (median, longest)": (
            f"{median(times):.1f} {max(times):.1f} ({len(times)} times)"
        )
        for name, times in seconds.items()
    }
