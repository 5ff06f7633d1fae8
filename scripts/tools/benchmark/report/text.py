"""Grids as plain text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tools.benchmark.report.grids import Grid


def as_text(grids: Sequence[Grid]) -> str:
    """Tables for a terminal: labels to the left, cells to the right."""
    return "\n\n".join("\n".join([grid.title, *_aligned(grid)]) for grid in grids)


def as_markdown(grids: Sequence[Grid]) -> str:
    """Tables for a document."""
    return "\n".join(line for grid in grids for line in _markdown(grid))


def _aligned(grid: Grid) -> list[str]:
    lines = [grid.columns, *grid.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            [
                f"  {line[0].ljust(widths[0])}",
                *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for line in lines
    ]


def _markdown(grid: Grid) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = ["---", *["---:"] * (len(grid.columns) - 1)]
    return [f"**{grid.title}**", "", row(grid.columns), row(rule), *map(row, grid.rows), ""]
