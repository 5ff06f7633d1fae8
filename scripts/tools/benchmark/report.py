"""Show a report as tables, plain or Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from tools.benchmark.figures import Case, Figure, Ratio
from tools.benchmark.pipeline_alone import PIPELINE_ALONE, pipeline_tables

Report = Mapping[str, Any]
"""What `run_benchmark` returns."""

_NOTHING = "-"

_OVERHEAD = {
    "request_ms": ("a request over gRPC beyond the bare engine's time, ms", "{:.2f}"),
    "throughput_share": ("images per second over gRPC, share of the bare engine's", "{:.0%}"),
    "person_ms": ("each further person over gRPC, ms", "{:.2f}"),
    "engine_person_ms": ("each further person in the bare engine, ms", "{:.2f}"),
    "crop_ms": ("the keypoint model alone per crop, batched, ms", "{:.2f}"),
    "persons_per_crop": ("a further person in crops of the keypoint model", "{:.2f}"),
}


def as_text(report: Report) -> str:
    """Format all tables for a terminal."""
    return "\n\n".join(
        f"{title}\n{_formatted(rows, 'simple')}" for title, rows in tables(report).items()
    )


def as_markdown(report: Report) -> str:
    """Format all tables for a document."""
    return "\n".join(
        f"**{title}**\n\n{_formatted(rows, 'pipe')}\n" for title, rows in tables(report).items()
    )


def tables(report: Report) -> dict[str, list[list[str]]]:
    """Make all tables of a report: by title rows of cells, the headings first."""
    if PIPELINE_ALONE in report:
        return pipeline_tables(report[PIPELINE_ALONE])
    found = {}
    labels = {key: entry["label"] for key, entry in report["contestants"].items()}
    for each in report["measurements"]:
        heading = ["", *(case["label"] for case in each["cases"])]
        keys = dict.fromkeys(key for case in each["cases"] for key in case["figures"])
        found[each["title"]] = [heading] + [
            [labels[key], *(_spread(case["figures"].get(key)) for case in each["cases"])]
            for key in keys
        ]
        ratios = [_ratios(case) for case in each["cases"]]
        pairs = dict.fromkeys(pair for case in ratios for pair in case)
        found[f"Times as good as the other ({each['name']}; above 1 is better)"] = [heading] + [
            [" : ".join(labels[key] for key in pair), *(_spread(case.get(pair)) for case in ratios)]
            for pair in pairs
        ]
    overhead = report["overhead"]
    found["What the server adds"] = [["", "value"]] + [
        [label, form.format(overhead[name])]
        for name, (label, form) in _OVERHEAD.items()
        if overhead.get(name) is not None
    ]
    found["Resident memory (proportional set size)"] = [["", "MB"]] + [
        [label, f"{size / 1e6:.0f}"] for label, size in report["memory_bytes"].items()
    ]
    agreement = report["agreement"]
    found[f"Answers compared with those of: {labels[agreement['reference']]}"] = [
        ["", "same", "people", "boxes within, px", "keypoints within 0.1 px", "other people in"]
    ] + [
        [
            labels[each["key"]],
            "yes" if each["agrees"] else "NO",
            str(each["photos"]["persons"]),
            _optional(each["photos"]["box_px"], "{:.4f}"),
            _optional(each["photos"]["close_share"], "{:.2%}"),
            ", ".join([*each["photos"]["other_persons"], *each["other_counts"]]) or _NOTHING,
        ]
        for each in agreement["contestants"]
    ]
    use = report["disturbance"]
    found["Machine"] = [
        ["", "value"],
        *([name.replace("_", " "), str(value)] for name, value in report["machine"].items()),
        ["CPU used by other programs meanwhile", f"{use['foreign']:.1%}"],
        ["CPU given to other machines of the host", f"{use['stolen']:.1%}"],
        ["CPU used by contestants that were not measured", f"{use['idle_contestants']:.2%}"],
    ]
    return {title: rows for title, rows in found.items() if len(rows) > 1}


def number(value: float) -> str:
    """Format a figure with three significant digits, but no fewer than its whole part."""
    if value == 0:
        return "0"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def _formatted(rows: Sequence[Sequence[str]], style: str) -> str:
    alignment = ["left", *["right"] * (len(rows[0]) - 1)]
    return tabulate(rows[1:], rows[0], style, disable_numparse=True, colalign=alignment)


def _spread(series: Figure | None) -> str:
    if series is None:
        return _NOTHING
    return f"{number(series['value'])} ({number(series['low'])}..{number(series['high'])})"


def _optional(value: float | None, form: str) -> str:
    return _NOTHING if value is None else form.format(value)


def _ratios(case: Case) -> dict[tuple[str, str], Ratio]:
    return {(ratio["ours"], ratio["other"]): ratio for ratio in case["ratios"]}
