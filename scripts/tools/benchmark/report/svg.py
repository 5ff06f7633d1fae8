"""A bar chart of the ratios that sum an outcome up, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tools.benchmark.outcome import Outcome
from tools.benchmark.report.grids import number
from tools.benchmark.results import Measurement, Series

_WIDTH, _LEFT, _RIGHT = 900, 330, 60
_TOP, _GROUP, _ROW, _GAP, _BOTTOM = 64, 24, 22, 12, 36
_BAR = 14
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_COLOURS = {"rival": "#2f6fb3", "limit": "#9a9a9a"}
_FONT = "Helvetica, Arial, sans-serif"
_TEXT, _GRID, _SPREAD = "#222222", "#d8d8d8", "#111111"


@dataclass(frozen=True)
class Bar:
    """One ratio.

    Attributes:
        label: Who is compared with.
        ratio: How many times as good; its spread is drawn as a line.
        role: Of the other one.
    """

    label: str
    ratio: Series
    role: str


@dataclass(frozen=True)
class Group:
    """The ratios of one measurement.

    Attributes:
        title: Its heading.
        bars: At least one.
    """

    title: str
    bars: tuple[Bar, ...]


def chart(outcome: Outcome) -> str:
    """Draw the headline of every measurement: our first contestant in it against all others."""
    groups = [_group(measurement, outcome) for measurement in outcome.measurements]
    return draw([group for group in groups if group.bars])


def draw(groups: Sequence[Group]) -> str:
    """Draw groups of bars on a logarithmic scale, from 1 to the right or to the left.

    Args:
        groups: From top to bottom.

    Returns:
        An SVG document.
    """
    ratios = [bar.ratio for group in groups for bar in group.bars]
    low = max(
        (tick for tick in _TICKS if tick <= min((r.low for r in ratios), default=1)), default=0.1
    )
    high = min(
        (tick for tick in _TICKS if tick >= max((r.high for r in ratios), default=2)), default=1000
    )
    scale = _Scale(min(low, 0.5), max(high, 2))
    heights = [_GROUP + _ROW * len(group.bars) + _GAP for group in groups]
    bottom = _TOP + sum(heights)
    box = f"0 0 {_WIDTH} {bottom + _BOTTOM}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="{_FONT}">',
        _box(0, 0, _WIDTH, bottom + _BOTTOM, "#ffffff"),
        _text(16, 26, "Times as good as (logarithmic, above 1 is better)", size=17, weight="bold"),
        *_grid(scale, bottom),
    ]
    top = _TOP
    for group, height in zip(groups, heights, strict=True):
        parts.append(_text(16, top + 16, group.title, weight="bold"))
        for index, bar in enumerate(group.bars):
            parts += _bar(bar, scale, top + _GROUP + index * _ROW)
        top += height
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """Ratios to horizontal places, logarithmically."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, ratio: float) -> float:
        inside = min(max(ratio, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _group(measurement: Measurement, outcome: Outcome) -> Group:
    case = next(case for case in measurement.cases if case.label == measurement.headline)
    bars = [
        Bar(
            outcome.entries[other].label,
            ratio,
            outcome.entries[other].role,
        )
        for ours, other in measurement.pairs
        if ours == measurement.pairs[0][0]
        and (ratio := measurement.ratio(case, ours, other)) is not None
    ]
    ours = outcome.entries[measurement.pairs[0][0]].label
    return Group(f"{measurement.summary}: {ours}", tuple(bars))


def _grid(scale: _Scale, bottom: int) -> list[str]:
    lines = []
    for tick in _TICKS:
        if scale.low <= tick <= scale.high:
            colour, width = (_TEXT, 1.2) if tick == 1 else (_GRID, 1)
            lines.append(_line(scale(tick), _TOP - 8, scale(tick), bottom, colour, width))
            lines.append(_text(scale(tick), bottom + 18, f"{tick:g}", anchor="middle"))
    return lines


def _bar(bar: Bar, scale: _Scale, top: int) -> list[str]:
    one, end = scale(1), scale(bar.ratio.value)
    middle = top + _BAR / 2
    return [
        _text(_LEFT - 12, top + 11, bar.label, anchor="end"),
        _box(min(one, end), top, abs(end - one), _BAR, _COLOURS.get(bar.role, _TEXT)),
        _line(scale(bar.ratio.low), middle, scale(bar.ratio.high), middle, _SPREAD, 1.5),
        _text(max(end, one, scale(bar.ratio.high)) + 6, top + 11, number(bar.ratio.value)),
    ]


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _text(
    x: float, y: float, content: str, *, anchor: str = "start", size: int = 13, weight: str = ""
) -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{x}" y="{y}" fill="{_TEXT}" font-size="{size}" text-anchor="{anchor}"{bold}>'
        f"{escape(content)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"/>'
    )
