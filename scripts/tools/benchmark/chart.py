"""Draw the ratios that sum an outcome up as a bar chart; needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.benchmark.contestants import Role
from tools.benchmark.report import number
from tools.benchmark.results import Outcome, Series
from tools.errors import BenchmarkError

_COLORS = {"rival": "#2f6fb3", "limit": "#9a9a9a"}
_OTHER_COLOR = "#222222"


def check_charts() -> None:
    """Make sure that charts can be drawn.

    Raises:
        BenchmarkError: matplotlib is missing.
    """
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise BenchmarkError("--svg needs matplotlib: pip install 'tritonpose[tools]'") from error


def save_chart(outcome: Outcome, path: Path) -> None:
    """Draw the headline of every measurement: our first contestant in it against all others.

    Args:
        outcome: What was measured.
        path: The file; its suffix chooses the format, SVG where it is unknown.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    groups = chart_groups(outcome)
    rows = sum(len(bars) + 1 for bars in groups.values())
    figure = Figure(figsize=(9, 1.2 + 0.26 * rows), layout="constrained")
    axes = figure.subplots()
    axes.set_title("Times as good as (logarithmic, above 1 is better)", loc="left", weight="bold")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color="#d8d8d8")
    axes.axvline(1, color=_OTHER_COLOR)
    axes.set_axisbelow(True)
    labels: list[str] = []
    bold: list[int] = []
    for title, bars in groups.items():
        bold.append(len(labels))
        labels.append(title)
        for label, role, ratio in bars:
            _draw_bar(axes, len(labels), ratio, _COLORS.get(role, _OTHER_COLOR))
            labels.append(label)
    axes.set_yticks(range(len(labels)), labels)
    for index in bold:
        axes.get_yticklabels()[index].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.8)
    axes.margins(x=0.1)
    known = figure.canvas.get_supported_filetypes()
    suffix = path.suffix.lstrip(".").lower()
    figure.savefig(path, format=suffix if suffix in known else "svg")


def chart_groups(outcome: Outcome) -> dict[str, list[tuple[str, Role, Series]]]:
    """Choose the bars: by measurement, label and role of the other contestant, and the ratio."""
    groups = {}
    for measurement in outcome.measurements:
        case = next(case for case in measurement.cases if case.label == measurement.headline)
        first = measurement.pairs[0][0]
        bars = [
            (outcome.entries[other].label, outcome.entries[other].role, ratio)
            for ours, other in measurement.pairs
            if ours == first and (ratio := measurement.ratio(case, ours, other)) is not None
        ]
        if bars:
            groups[f"{measurement.summary}: {outcome.entries[first].label}"] = bars
    return groups


def _draw_bar(axes: Any, row: int, ratio: Series, color: str) -> None:
    axes.barh(row, ratio.value - 1, left=1, height=0.65, color=color)
    axes.plot([ratio.low, ratio.high], [row, row], color="#111111", linewidth=1.5)
    end = max(ratio.value, ratio.high, 1)
    axes.annotate(
        number(ratio.value), (end, row), xytext=(4, 0), textcoords="offset points", va="center"
    )
