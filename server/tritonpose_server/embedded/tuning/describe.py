"""Tells a tuning in words."""

from __future__ import annotations

from collections.abc import Iterator

from tritonpose_server.embedded.tuning.settings import Tuning


def describe(tuning: Tuning) -> str:
    """What a tuning chooses, in one line."""
    chosen = [f"{name} {value}" for name, value in tuning.values().items() if value is not None]
    return ", ".join(chosen) or "nothing is chosen"


def doubts(tuning: Tuning, cores: int) -> Iterator[str]:
    """What does not fit this machine, a line each.

    Args:
        tuning: The tuning.
        cores: Cores that may be used.
    """
    for name, value in tuning.values().items():
        if name.endswith((".threads", ".streams")) and value is not None and value > cores:
            yield (
                f"{name} is {value}, but only {cores} of this machine's cores may be used: on the "
                f"CPU it counts as {cores}"
            )
