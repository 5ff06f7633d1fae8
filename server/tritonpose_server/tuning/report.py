"""Tells what came of a search: a table, and the head of the file."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from tritonpose import __version__
from tritonpose_server.processor import processor_name
from tritonpose_server.tuning.figures import Comparison, Figures
from tritonpose_server.tuning.run import Job, Outcome
from tritonpose_server.tuning.search import Trial


def trial_line(trial: Trial) -> str:
    """One trial in a line."""
    return f"{_change(trial)}: {_verdict(trial.comparison)}"


def table(outcome: Outcome) -> str:
    """All that was measured."""
    loads = list(outcome.start_figures.samples)
    head = [
        "setting",
        *(f"images/s, {load}" for load in loads),
        *(f"ms, {load}" for load in loads),
        "p95",
        "MB",
        "against the best so far",
    ]
    rows = [
        ["without tuning", *_cells(outcome.start_figures), ""],
        *(_row(_change(trial), trial.comparison, len(head)) for trial in outcome.trials),
    ]
    if outcome.check is not None:
        rows.append(_row("without tuning, again", outcome.check, len(head)))
    most = loads[-1]
    legend = (
        "images/s, N and ms, N: images per second and median time of a request with N images "
        f"under way; p95: of 95 % of the requests, {most} under way"
    )
    return f"{_aligned([head, *rows])}\n\n{legend}"


def conclusion(outcome: Outcome) -> str:
    """What it means, in a sentence."""
    changes = changed(outcome)
    if not outcome.confirmed:
        return "no setting was faster than none when compared once more"
    if not changes:
        return "no setting was faster than none"
    gain = ""
    if outcome.check is not None and outcome.check.ratios:
        gain = f": {1 / outcome.check.ratio:.2f} times as fast as without tuning"
    return f"fastest: {', '.join(changes)}{gain}"


def changed(outcome: Outcome) -> list[str]:
    """What differs from the setting without tuning."""
    before = outcome.start.values()
    return [
        f"{name} {before[name]} -> {value}"
        for name, value in outcome.best.values().items()
        if value != before[name]
    ]


def file_header(outcome: Outcome, job: Job, cores: int, output: Path) -> list[str]:
    """Lines at the top of the tuning file."""
    now = datetime.datetime.now().astimezone()
    check = outcome.check if outcome.confirmed else None
    ended = ", interrupted" if outcome.interrupted else ""
    if outcome.failure:
        ended = f", ended by an error ({_first_line(outcome.failure)})"
    tried = f"Changes tried: {len(outcome.trials)}, in {outcome.seconds:.0f} s{ended}"
    lines = [
        f"Made by `tritonpose tune` of tritonpose {__version__} on {now:%Y-%m-%d %H:%M %Z}.",
        f"Machine: {processor_name()}, {cores} cores; device {job.device or 'as configured'}.",
        f"Models: {' and '.join(outcome.models)}. Images: {', '.join(map(str, job.images))}.",
        f"{tried}; {conclusion(outcome)}.",
        f"Without tuning: {_summary((check and check.figures) or outcome.start_figures)}.",
    ]
    tuned = (check and check.best_figures) or _last_win(outcome)
    if changed(outcome) and tuned is not None:
        lines.append(f"With this file: {_summary(tuned)}.")
    return [*lines, f"Use it: tritonpose serve --tuning {output}"]


def _last_win(outcome: Outcome) -> Figures | None:
    wins = [trial.comparison for trial in outcome.trials if trial.comparison.wins]
    return wins[-1].figures if wins else None


def _change(trial: Trial) -> str:
    return f"{trial.name} {trial.old} -> {trial.new}"


def _row(name: str, comparison: Comparison, width: int) -> list[str]:
    if comparison.figures is None:
        return [name, *[""] * (width - 2), _verdict(comparison)]
    return [name, *_cells(comparison.figures), _verdict(comparison)]


def _cells(figures: Figures) -> list[str]:
    samples = list(figures.samples.values())
    return [
        *(f"{sample.rate:.1f}" for sample in samples),
        *(f"{sample.median_ms:.1f}" for sample in samples),
        f"{samples[-1].p95_ms:.1f}",
        f"{figures.memory_bytes / 1e6:.0f}",
    ]


def _verdict(comparison: Comparison) -> str:
    if comparison.figures is None:
        return f"failed: {_first_line(comparison.failure)}"
    ratios = comparison.ratios
    kept = "kept" if comparison.wins else "not kept"
    return f"x {comparison.ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {kept}"


def _summary(figures: Figures) -> str:
    rates = ", ".join(f"{sample.rate:.1f}" for sample in figures.samples.values())
    loads = ", ".join(map(str, figures.samples))
    times = ", ".join(f"{sample.median_ms:.1f}" for sample in figures.samples.values())
    return (
        f"{rates} images/s and {times} ms (median) with {loads} under way, "
        f"{figures.memory_bytes / 1e6:.0f} MB"
    )


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            # Text to the left, figures to the right.
            cell.ljust(width) if column in (0, len(row) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
