"""An outcome as grids of text, whatever they are printed as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.benchmark.outcome import Outcome
from tools.benchmark.results import Case, Measurement, Series

_NOTHING = "-"


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        title: Its heading.
        columns: Headings of the columns; the first is that of the labels.
        rows: A label and a cell per further column each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def grids(outcome: Outcome) -> list[Grid]:
    """All tables of an outcome."""
    tables = []
    for measurement in outcome.measurements:
        tables.append(_figures(measurement, outcome))
        ratios = _ratios(measurement, outcome)
        if ratios.rows:
            tables.append(ratios)
    overhead = _overhead(outcome)
    if overhead.rows:
        tables.append(overhead)
    return [*tables, _memory(outcome), _agreement(outcome), _machine(outcome)]


def number(value: float) -> str:
    """A figure with three significant digits, but no fewer than its whole part."""
    if value == 0:
        return "0"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def _figures(measurement: Measurement, outcome: Outcome) -> Grid:
    def cell(case: Case, key: str) -> str:
        series = case.series.get(key)
        return _NOTHING if series is None else _spread(series)

    rows = tuple(
        (outcome.entries[key].label, *(cell(case, key) for case in measurement.cases))
        for key in measurement.contestants()
    )
    return Grid(measurement.title, ("", *(case.label for case in measurement.cases)), rows)


def _ratios(measurement: Measurement, outcome: Outcome) -> Grid:
    def cell(case: Case, ours: str, rival: str) -> str:
        ratio = measurement.ratio(case, ours, rival)
        return _NOTHING if ratio is None else _spread(ratio)

    rows = tuple(
        (
            f"{outcome.entries[ours].label} : {outcome.entries[rival].label}",
            *(cell(case, ours, rival) for case in measurement.cases),
        )
        for ours, rival in measurement.pairs
    )
    title = f"Times as good as the other ({measurement.name}; above 1 is better)"
    return Grid(title, ("", *(case.label for case in measurement.cases)), rows)


def _spread(series: Series) -> str:
    return f"{number(series.value)} ({number(series.low)}..{number(series.high)})"


def _overhead(outcome: Outcome) -> Grid:
    overhead = outcome.overhead
    lines: Sequence[tuple[str, float | None, str]] = (
        ("a request over gRPC beyond the bare engine's time, ms", overhead.request_ms, "{:.2f}"),
        (
            "images per second over gRPC, share of the bare engine's",
            overhead.throughput_share,
            "{:.0%}",
        ),
        ("each further person over gRPC, ms", overhead.person_ms, "{:.2f}"),
        ("each further person in the bare engine, ms", overhead.engine_person_ms, "{:.2f}"),
        ("the keypoint model alone per crop, batched, ms", overhead.crop_ms, "{:.2f}"),
        ("a further person in crops of the keypoint model", overhead.persons_per_crop, "{:.2f}"),
    )
    rows = tuple((label, text.format(value)) for label, value, text in lines if value is not None)
    return Grid("What the server adds", ("", "value"), rows)


def _memory(outcome: Outcome) -> Grid:
    rows = tuple((label, f"{size / 1e6:.0f}") for label, size in outcome.memory.items())
    return Grid("Resident memory (proportional set size)", ("", "MB"), rows)


def _agreement(outcome: Outcome) -> Grid:
    def text(value: float | None, form: str) -> str:
        return _NOTHING if value is None else form.format(value)

    rows = tuple(
        (
            outcome.entries[verdict.key].label,
            "yes" if verdict.agrees else "NO",
            str(verdict.photos.persons),
            text(verdict.photos.box_px, "{:.4f}"),
            text(verdict.photos.close_share, "{:.2%}"),
            ", ".join([*verdict.photos.other_persons, *verdict.other_counts]) or _NOTHING,
        )
        for verdict in outcome.verdicts
    )
    columns = (
        "",
        "same",
        "persons",
        "boxes within, px",
        "keypoints within 0.1 px",
        "other persons in",
    )
    reference = outcome.entries[outcome.reference].label
    return Grid(f"Answers compared with those of: {reference}", columns, rows)


def _machine(outcome: Outcome) -> Grid:
    disturbance = outcome.disturbance
    machine = outcome.facts["machine"]
    facts = machine.items() if isinstance(machine, dict) else ()
    rows = (
        *((name.replace("_", " "), str(value)) for name, value in facts),
        ("CPU used by other programs meanwhile", f"{disturbance.foreign:.1%}"),
        ("CPU given to other machines of the host", f"{disturbance.stolen:.1%}"),
        ("CPU used by contestants that were not measured", f"{disturbance.idle_contestants:.2%}"),
    )
    return Grid("Machine", ("", "value"), rows)
