"""Report an outcome as tables, as plain text or Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from tools.benchmark.results import Measurement, Outcome, Series

_NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: Its heading.
        columns: Headings of the columns; the first is that of the labels.
        rows: A label and a cell per further column each.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_text(self) -> str:
        """Format it for a terminal."""
        return f"{self.title}\n{self._formatted('simple')}"

    def as_markdown(self) -> str:
        """Format it for a document."""
        return f"**{self.title}**\n\n{self._formatted('pipe')}\n"

    def _formatted(self, style: str) -> str:
        alignment = ["left", *["right"] * (len(self.columns) - 1)]
        return tabulate(self.rows, self.columns, style, disable_numparse=True, colalign=alignment)


def tables(outcome: Outcome) -> list[Table]:
    """Make all tables of an outcome."""
    found = []
    for measurement in outcome.measurements:
        found += [_figures(measurement, outcome), _ratios(measurement, outcome)]
    found += [_overhead(outcome), _memory(outcome), _agreement(outcome), _machine(outcome)]
    return [table for table in found if table.rows]


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Collect everything in an outcome for programs, ratios included."""
    return {
        **outcome.facts,
        "contestants": {key: asdict(entry) for key, entry in outcome.entries.items()},
        "measurements": [
            {
                "name": each.name,
                "title": each.title,
                "unit": each.unit,
                "better": each.better,
                "cases": _json_cases(each),
            }
            for each in outcome.measurements
        ],
        "overhead": {
            **asdict(outcome.overhead),
            "persons_per_crop": outcome.overhead.persons_per_crop,
        },
        "memory_bytes": dict(outcome.memory),
        "agreement": {
            "reference": outcome.reference,
            "all_agree": outcome.agrees,
            "contestants": [
                {**asdict(verdict), "agrees": verdict.agrees} for verdict in outcome.verdicts
            ],
        },
        "disturbance": asdict(outcome.disturbance),
    }


def number(value: float) -> str:
    """Format a figure with three significant digits, but no fewer than its whole part."""
    if value == 0:
        return "0"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def _json_cases(measurement: Measurement) -> list[dict[str, Any]]:
    return [
        {
            "label": case.label,
            "figures": {key: _json_series(series) for key, series in case.series.items()},
            "ratios": [
                {"ours": ours, "other": other, **_json_series(ratio)}
                for ours, other in measurement.pairs
                if (ratio := measurement.ratio(case, ours, other)) is not None
            ],
        }
        for case in measurement.cases
    ]


def _json_series(series: Series) -> dict[str, Any]:
    return {
        "value": series.value,
        "low": series.low,
        "high": series.high,
        "rounds": list(series.rounds),
    }


def _spread(series: Series | None) -> str:
    if series is None:
        return _NOTHING
    return f"{number(series.value)} ({number(series.low)}..{number(series.high)})"


def _figures(measurement: Measurement, outcome: Outcome) -> Table:
    rows = [
        [outcome.entries[key].label, *(_spread(case.series.get(key)) for case in measurement.cases)]
        for key in measurement.contestants()
    ]
    return Table(measurement.title, ["", *(case.label for case in measurement.cases)], rows)


def _ratios(measurement: Measurement, outcome: Outcome) -> Table:
    rows = [
        [
            f"{outcome.entries[ours].label} : {outcome.entries[other].label}",
            *(_spread(measurement.ratio(case, ours, other)) for case in measurement.cases),
        ]
        for ours, other in measurement.pairs
    ]
    title = f"Times as good as the other ({measurement.name}; above 1 is better)"
    return Table(title, ["", *(case.label for case in measurement.cases)], rows)


def _overhead(outcome: Outcome) -> Table:
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
    rows = [(label, text.format(value)) for label, value, text in lines if value is not None]
    return Table("What the server adds", ("", "value"), rows)


def _memory(outcome: Outcome) -> Table:
    rows = [(label, f"{size / 1e6:.0f}") for label, size in outcome.memory.items()]
    return Table("Resident memory (proportional set size)", ("", "MB"), rows)


def _agreement(outcome: Outcome) -> Table:
    def text(value: float | None, form: str) -> str:
        return _NOTHING if value is None else form.format(value)

    rows = [
        (
            outcome.entries[verdict.key].label,
            "yes" if verdict.agrees else "NO",
            str(verdict.photos.persons),
            text(verdict.photos.box_px, "{:.4f}"),
            text(verdict.photos.close_share, "{:.2%}"),
            ", ".join([*verdict.photos.other_persons, *verdict.other_counts]) or _NOTHING,
        )
        for verdict in outcome.verdicts
    ]
    columns = (
        "",
        "same",
        "people",
        "boxes within, px",
        "keypoints within 0.1 px",
        "other people in",
    )
    reference = outcome.entries[outcome.reference].label
    return Table(f"Answers compared with those of: {reference}", columns, rows)


def _machine(outcome: Outcome) -> Table:
    disturbance = outcome.disturbance
    machine = outcome.facts["machine"]
    facts = machine.items() if isinstance(machine, dict) else ()
    rows = (
        *((name.replace("_", " "), str(value)) for name, value in facts),
        ("CPU used by other programs meanwhile", f"{disturbance.foreign:.1%}"),
        ("CPU given to other machines of the host", f"{disturbance.stolen:.1%}"),
        ("CPU used by contestants that were not measured", f"{disturbance.idle_contestants:.2%}"),
    )
    return Table("Machine", ("", "value"), rows)
