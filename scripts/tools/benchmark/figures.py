"""Figures as plain data for the report: of rounds, their ratios, and measurements of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class Figure(TypedDict):
    """One figure of one contestant: over all rounds, its least, its greatest, of each round."""

    value: float
    low: float
    high: float
    rounds: list[float]


class Ratio(Figure):
    """How many times as good one of ours is as another contestant."""

    ours: str
    other: str


class Case(TypedDict):
    """One column of a measurement: figures by the contestants' keys, and their ratios."""

    label: str
    figures: Mapping[str, Figure]
    ratios: list[Ratio]


class Measurement(TypedDict):
    """One table of figures."""

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    cases: list[Case]


Columns = Mapping[str, Mapping[str, Figure]]
"""Figures by a column's label and a contestant's key."""


def figure(rounds: Sequence[float], value: float | None = None) -> Figure:
    """Make the figure of some rounds; its value is their median where none is given."""
    middle = statistics.median(rounds) if value is None else value
    return Figure(value=middle, low=min(rounds), high=max(rounds), rounds=list(rounds))


def measurement(
    name: str,
    title: str,
    columns: Columns,
    compared: Sequence[tuple[str, str]],
    *,
    unit: str = "ms",
) -> Measurement:
    """Make a measurement, and compute its ratios.

    Each round has its own ratio, so that what slows a whole round down cancels out. Of
    milliseconds, less is better, else more. ``compared`` has keys of ours and of others.
    """
    lower = unit == "ms"

    def ratio(figures: Mapping[str, Figure], ours: str, other: str) -> Ratio:
        better, worse = (other, ours) if lower else (ours, other)
        rounds = zip(figures[better]["rounds"], figures[worse]["rounds"], strict=True)
        return Ratio(ours=ours, other=other, **figure([a / b for a, b in rounds]))

    cases = [
        Case(
            label=label,
            figures=figures,
            ratios=[ratio(figures, *pair) for pair in compared if figures.keys() >= set(pair)],
        )
        for label, figures in columns.items()
    ]
    return Measurement(
        name=name,
        title=title,
        unit=unit,
        better="lower" if lower else "higher",
        cases=cases,
    )


def cost_per_person(people: Measurement, key: str) -> float | None:
    """Compute what each further person adds, from the cases with fewest and most people.

    The case with nobody does not count, because it saves the keypoint model altogether. In the
    measurement's unit; None where there are no two such cases.
    """
    values = {int(case["label"]): case["figures"][key]["value"] for case in people["cases"]}
    values.pop(0, None)
    most, least = max(values, default=0), min(values, default=0)
    return None if most == least else (values[most] - values[least]) / (most - least)
