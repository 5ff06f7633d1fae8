"""What is told in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.soak.bench import PartReport


def as_text(reports: Sequence[PartReport]) -> str:
    """A table of all figures, and what must not be."""
    width = max(len(name) for report in reports for name in report.figures)
    lines = []
    for report in reports:
        verdict = "VIOLATED" if report.violations else "passed"
        lines.append(f"{report.name}: {verdict}")
        lines += [f"  {name:<{width}}  {value}" for name, value in report.figures.items()]
        lines += [f"  violation: {violation}" for violation in report.violations]
    return "\n".join(lines)


def as_json(reports: Sequence[PartReport]) -> dict[str, Any]:
    """The same for programs."""
    return {
        report.name: {"figures": report.figures, "violations": report.violations}
        for report in reports
    }
