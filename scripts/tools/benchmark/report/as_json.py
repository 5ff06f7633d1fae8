"""An outcome for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tools.benchmark.outcome import Outcome
from tools.benchmark.results import Measurement, Series


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything in an outcome, ratios included."""
    return {
        **outcome.facts,
        "contestants": {key: asdict(entry) for key, entry in outcome.entries.items()},
        "measurements": [_measurement(each) for each in outcome.measurements],
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


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "title": measurement.title,
        "unit": measurement.unit,
        "better": measurement.better,
        "cases": [
            {
                "label": case.label,
                "figures": {key: _series(series) for key, series in case.series.items()},
                "ratios": [
                    {"ours": ours, "other": other, **_series(ratio)}
                    for ours, other in measurement.pairs
                    if (ratio := measurement.ratio(case, ours, other)) is not None
                ],
            }
            for case in measurement.cases
        ],
    }


def _series(series: Series) -> dict[str, Any]:
    return {
        "value": series.value,
        "low": series.low,
        "high": series.high,
        "rounds": list(series.rounds),
    }
