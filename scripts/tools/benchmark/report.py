"""Show a report as tables, plain or Markdown, and its ratios as a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from tools.benchmark.figures import Case, Figure, Measurement, Ratio
from tools.benchmark.pipeline_alone import PIPELINE_ALONE, pipeline_tables
from tools.errors import ToolError
from tritonpose.extras import install_command

Report = Mapping[str, Any]
"""What `run_benchmark` returns."""

_NOTHING = "-"
_COLORS = {"rival": "#2f6fb3", "limit": "#9a9a9a"}
_OTHER_COLOR = "#222222"

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


def check_charts() -> None:
    """Make sure that charts can be drawn."""
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ToolError(f"--svg needs matplotlib: {install_command('tools')}") from error


def save_chart(report: Report, path: Path) -> None:
    """Draw the headline of every measurement: our first contestant in it against all others.

    The file's suffix chooses the format, SVG where it is unknown.
    """
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import LogLocator, NullLocator

    groups = [_chart_group(each) for each in report["measurements"]]
    rows = sum(len(ratios) + 1 for _, ratios in groups)
    drawing = Drawing(figsize=(9, 1.2 + 0.26 * rows), layout="constrained")
    axes = drawing.subplots()
    axes.set_title("Times as good as (logarithmic, above 1 is better)", loc="left", weight="bold")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color="#d8d8d8")
    axes.axvline(1, color=_OTHER_COLOR)
    axes.set_axisbelow(True)
    labels: list[str] = []
    headings: list[int] = []
    for summary, ratios in groups:
        for ratio in ratios:
            if ratio is ratios[0]:
                headings.append(len(labels))
                labels.append(f"{summary}: {report['contestants'][ratio['ours']]['label']}")
            other = report["contestants"][ratio["other"]]
            _draw_bar(axes, len(labels), ratio, _COLORS.get(other["role"], _OTHER_COLOR))
            labels.append(other["label"])
    axes.set_yticks(range(len(labels)), labels)
    for index in headings:
        axes.get_yticklabels()[index].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.8)
    axes.margins(x=0.1)
    known = drawing.canvas.get_supported_filetypes()
    suffix = path.suffix.lstrip(".").lower()
    drawing.savefig(path, format=suffix if suffix in known else "svg")


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


def _chart_group(measurement: Measurement) -> tuple[str, list[Ratio]]:
    """Choose the bars of a measurement: those of the first of ours."""
    cases = {case["label"]: case["ratios"] for case in measurement["cases"]}
    ratios = cases[measurement["headline"]]
    return measurement["summary"], [each for each in ratios if each["ours"] == ratios[0]["ours"]]


def _draw_bar(axes: Any, row: int, ratio: Figure, color: str) -> None:
    value, low, high = ratio["value"], ratio["low"], ratio["high"]
    axes.barh(row, value - 1, left=1, height=0.65, color=color)
    axes.plot([low, high], [row, row], color="#111111", linewidth=1.5)
    at = (max(value, high, 1), row)
    axes.annotate(number(value), at, xytext=(4, 0), textcoords="offset points", va="center")
