"""What was found, as a Markdown table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tools.gpu_check.compare import Difference
from tools.gpu_check.measure import Speed


@dataclass(frozen=True)
class Trial:
    """A model on an engine.

    Attributes:
        model: Its name.
        engine: Name of the engine.
        precision: What it computes in.
        difference: From the CPU's results, None where it did not run.
        speeds: One for each batch size that was tried.
        error: Why it did not run, None where it did.
    """

    model: str
    engine: str
    precision: str
    difference: Difference | None
    speeds: tuple[Speed, ...]
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it ran and agrees."""
        return self.difference is not None and self.difference.within


def as_markdown(trials: Sequence[Trial], machine: dict[str, str]) -> str:
    """A table with a row per trial: agreement, then images per second at each batch size."""
    batches = sorted({speed.batch for trial in trials for speed in trial.speeds})
    header = ["model", "engine", "precision", "differs by", "agrees", *map(str, batches)]
    rows = [header, ["---"] * 5 + ["---:"] * len(batches)]
    for trial in trials:
        speeds = {speed.batch: f"{speed.per_second:.0f}" for speed in trial.speeds}
        rows.append(
            [
                trial.model,
                trial.engine,
                trial.precision.upper(),
                _differences(trial.difference),
                "yes" if trial.passed else "no",
                *(speeds.get(batch, "") for batch in batches),
            ]
        )
    facts = ", ".join(f"{key} {value}" for key, value in machine.items())
    lines = [f"Images (of keypoint models: persons) per second by batch size; {facts}.", ""]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    failures = [trial for trial in trials if trial.error is not None]
    if failures:
        lines += ["", *(f"- {t.model}, {t.engine}, {t.precision}: {t.error}" for t in failures)]
    return "\n".join(lines)


def as_json(trials: Sequence[Trial], machine: dict[str, str]) -> str:
    """Everything, machine-readable."""
    content = {"machine": machine, "trials": [asdict(trial) for trial in trials]}
    return json.dumps(content, indent=2) + "\n"


def _differences(difference: Difference | None) -> str:
    if difference is None:
        return ""
    parts = [
        (difference.heatmap, "heatmap {:.1g}"),
        (difference.score, "score {:.1g}"),
        (difference.box_px, "box {:.2g} px"),
    ]
    told = [text.format(value) for value, text in parts if value is not None]
    return ", ".join(told) or "other shapes"
