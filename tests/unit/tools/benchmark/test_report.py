"""Outcomes as tables, Markdown and JSON."""

from __future__ import annotations

import json

import pytest

from outcomes import outcome
from tools.benchmark.report.as_json import as_json
from tools.benchmark.report.grids import Grid, grids, number
from tools.benchmark.report.text import as_markdown, as_text


def titled(beginning: str) -> Grid:
    (found,) = (grid for grid in grids(outcome()) if grid.title.startswith(beginning))
    return found


def test_figures() -> None:
    grid = titled("Latency")
    assert grid.columns == ("", "p50", "p99")
    assert grid.rows == (
        ("PaddleX, defaults", "200 (200..220)", "-"),
        ("bare engine", "16.0 (16.0..17.6)", "-"),
        ("tritonpose, gRPC", "20.0 (20.0..22.0)", "30.0 (28.0..32.0)"),
    )


def test_ratios() -> None:
    assert titled("Times as good").rows == (
        ("tritonpose, gRPC : PaddleX, defaults", "10.0 (10.0..10.0)", "-"),
        ("tritonpose, gRPC : bare engine", "0.80 (0.80..0.80)", "-"),
    )


def test_everything_else() -> None:
    assert titled("What the server adds").rows == (
        ("a request over gRPC beyond the bare engine's time, ms", "1.50"),
        ("images per second over gRPC, share of the bare engine's", "81%"),
    )
    assert titled("Resident memory").rows == (("tritonpose, gRPC", "738"),)
    agreement = titled("Answers compared")
    assert agreement.title.endswith("PaddleX, defaults")
    assert agreement.rows == (("tritonpose, gRPC", "yes", "5", "0.0002", "99.51%", "-"),)
    machine = dict(titled("Machine").rows)
    assert machine["cores"] == "2"
    assert machine["CPU used by other programs meanwhile"] == "25.0%"


def test_disagreement_is_seen() -> None:
    other = outcome(agrees=False)
    assert not other.agrees
    (grid,) = (grid for grid in grids(other) if grid.title.startswith("Answers"))
    assert grid.rows[0][1] == "NO"
    assert grid.rows[0][-1] == "b.jpg"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.123, "0.12"), (9.994, "9.99"), (12.34, "12.3"), (123.4, "123"), (-2, "-2.00")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_text_is_aligned() -> None:
    grid = Grid("Title", ("", "a", "long heading"), (("x", "1", "2"), ("longer", "10", "-")))
    assert as_text([grid, grid]).split("\n\n")[0].splitlines() == [
        "Title",
        "           a  long heading",
        "  x        1             2",
        "  longer  10             -",
    ]


def test_markdown() -> None:
    grid = Grid("Title", ("", "a"), (("x", "1"),))
    table = "**Title**\n\n|  | a |\n| --- | ---: |\n| x | 1 |\n"
    assert as_markdown([grid, grid]) == f"{table}\n{table}"


def test_json() -> None:
    report = json.loads(json.dumps(as_json(outcome())))
    assert report["machine"]["cores"] == 2
    assert report["contestants"]["engine"] == {"label": "bare engine", "role": "limit"}
    (latency,) = report["measurements"]
    median, tail = latency["cases"]
    assert median["figures"]["grpc"] == {"value": 20, "low": 20, "high": 22, "rounds": [20, 22]}
    assert [(ratio["other"], ratio["value"]) for ratio in median["ratios"]] == [
        ("paddlex", 10),
        ("engine", pytest.approx(0.8)),
    ]
    assert tail["ratios"] == []
    assert report["overhead"]["request_ms"] == 1.5
    assert report["overhead"]["persons_per_crop"] is None
    assert report["agreement"]["all_agree"] is True
    assert report["agreement"]["contestants"][0]["photos"]["persons"] == 5
    assert report["memory_bytes"] == {"tritonpose, gRPC": 738_400_000}
    assert report["disturbance"]["foreign"] == 0.25
