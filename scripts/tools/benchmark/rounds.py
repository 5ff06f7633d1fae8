"""Contestants take turns, so that whatever changes meanwhile hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tqdm import tqdm

from tools.benchmark.contestants.base import Contestant
from tools.benchmark.watch import Watch, Window

Result = TypeVar("Result")


def in_rounds(
    contestants: Sequence[Contestant],
    rounds: int,
    measure: Callable[[Contestant], Result],
    watch: Watch,
) -> dict[str, list[tuple[Result, Window]]]:
    """Measure every contestant once in each round, with a progress bar on a terminal.

    Each round begins with another contestant, so that none always follows the same one.

    Args:
        contestants: Who takes part.
        rounds: How many rounds.
        measure: Measures one contestant.
        watch: Sees to what else the machine does meanwhile.

    Returns:
        By the contestants' keys, for each round what was measured and what the machine did.
    """
    results: dict[str, list[tuple[Result, Window]]] = {each.key: [] for each in contestants}
    turns = [each for number in range(rounds) for each in rotated(contestants, number)]
    for contestant in tqdm(turns, "turns", leave=False, disable=None):
        with watch.during(contestant) as window:
            result = measure(contestant)
        results[contestant.key].append((result, window))
    return results


def rotated(items: Sequence[Result], start: int) -> list[Result]:
    """The items from a certain one on, then those before it."""
    begin = start % len(items) if items else 0
    return [*items[begin:], *items[:begin]]
