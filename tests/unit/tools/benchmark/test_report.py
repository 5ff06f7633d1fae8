"""Reports as tables."""

from __future__ import annotations

from typing import Any

import pytest

from tools.benchmark.figures import figure, measurement
from tools.benchmark.report import as_markdown, as_text, tables


@pytest.fixture
def report() -> dict[str, Any]:
    """Ours is ten times as fast as PaddleX, and has 80 % of the engine's speed."""
    figures = {"paddlex": [200.0, 220.0], "engine": [16.0, 17.6], "grpc": [20.0, 22.0]}
    columns = {
        "p50": {key: figure(rounds, rounds[0]) for key, rounds in figures.items()},
        "p99": {"grpc": figure([28.0, 32.0])},
    }
    compared = [("grpc", "paddlex"), ("grpc", "engine")]
    latency = measurement("latency", "Latency", columns, compared)
    photos = {"persons": 5, "other_persons": (), "box_px": 0.0002, "close_share": 0.9951}
    verdict = {"key": "grpc", "agrees": True, "photos": photos, "other_counts": []}
    return {
        "machine": {"processor": "A processor", "cores": 2},
        "contestants": {
            "paddlex": {"label": "PaddleX, defaults", "role": "rival"},
            "engine": {"label": "bare engine", "role": "limit"},
            "grpc": {"label": "tritonpose, gRPC", "role": "ours"},
        },
        "measurements": [latency],
        "overhead": {"request_ms": 1.5, "throughput_share": 0.81, "person_ms": None},
        "memory_bytes": {"tritonpose, gRPC": 738_400_000},
        "agreement": {"reference": "paddlex", "all_agree": True, "contestants": [verdict]},
        "disturbance": {"idle_contestants": 0.001, "foreign": 0.25, "stolen": 0.02},
    }


def rows(report: dict[str, Any], title: str) -> list[list[str]]:
    (found,) = (rows for each, rows in tables(report).items() if each.startswith(title))
    return found[1:]


def test_tables(report: dict[str, Any]) -> None:
    assert rows(report, "Latency") == [
        ["PaddleX, defaults", "200 (200..220)", "-"],
        ["bare engine", "16.0 (16.0..17.6)", "-"],
        ["tritonpose, gRPC", "20.0 (20.0..22.0)", "30.0 (28.0..32.0)"],
    ]
    assert rows(report, "Times") == [
        ["tritonpose, gRPC : PaddleX, defaults", "10.0 (10.0..10.0)", "-"],
        ["tritonpose, gRPC : bare engine", "0.80 (0.80..0.80)", "-"],
    ]
    assert [cell for _, cell in rows(report, "What")] == ["1.50", "81%"]
    assert rows(report, "Resident") == [["tritonpose, gRPC", "738"]]
    assert rows(report, "Answers") == [["tritonpose, gRPC", "yes", "5", "0.0002", "99.51%", "-"]]
    assert ["CPU used by other programs meanwhile", "25.0%"] in rows(report, "Machine")
    assert "| tritonpose, gRPC " in as_markdown(report)
    assert "\ntritonpose, gRPC " in as_text(report)
    # Disagreement shows.
    (verdict,) = report["agreement"]["contestants"]
    verdict["agrees"] = False
    verdict["photos"] |= {"other_persons": ("b.jpg",), "box_px": None}
    verdict["other_counts"] = ["9"]
    cells = ["tritonpose, gRPC", "NO", "5", "-", "99.51%", "b.jpg, 9"]
    assert rows(report, "Answers") == [cells]
