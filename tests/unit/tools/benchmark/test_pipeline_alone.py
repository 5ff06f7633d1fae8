"""The pipeline's own cost."""

from __future__ import annotations

from tools.benchmark.pipeline_alone import PIPELINE_ALONE
from tools.benchmark.report import as_markdown, tables

REPORT = {
    PIPELINE_ALONE: {
        "at_once": {
            1: {"rate": 250.0, "cpu_ms": {"pipeline": 3.5, "client": 0.5}},
            2: {"rate": 300.0, "cpu_ms": {"pipeline": 3.6, "client": 0.6}},
        },
        "waiting": {1: {"rate": 10.0, "cpu_ms": {}}, 8: {"rate": 76.0, "cpu_ms": {}}},
    }
}


def test_tables() -> None:
    at_once, waiting = tables(REPORT).values()
    assert at_once == [
        ["instances", "images/s", "CPU ms per image: client", "CPU ms per image: pipeline"],
        ["1", "250.0", "0.50", "3.50"],
        ["2", "300.0", "0.60", "3.60"],
    ]
    assert waiting[1:] == [["1", "10.0", "1.00"], ["8", "76.0", "0.95"]]
    assert "models that wait 0.2 s" in as_markdown(REPORT)
