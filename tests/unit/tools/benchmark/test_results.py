"""Series, ratios, overhead, and their reports."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import pytest

from tools.benchmark.agreement import Verdict
from tools.benchmark.chart import chart_groups, save_chart
from tools.benchmark.machine import Disturbance
from tools.benchmark.report import Table, as_json, tables
from tools.benchmark.results import (
    Case,
    Entry,
    Measurement,
    Outcome,
    Overhead,
    Series,
    cost_per_person,
    percentile,
    request_overhead,
)
from tools.evaluation.agreement import Agreement


def measurement(*cases: Case, better: Literal["lower", "higher"] = "lower") -> Measurement:
    return Measurement(
        name="latency",
        title="Latency <of one image>",
        unit="ms",
        better=better,
        cases=cases,
        headline=cases[0].label,
        summary="Latency & more",
        pairs=(("grpc", "paddlex"), ("grpc", "engine")),
    )


def outcome(*, agrees: bool = True) -> Outcome:
    """Ours is ten times as fast as PaddleX, and has 80 % of the engine's speed."""
    median = {
        "paddlex": Series(200.0, (200.0, 220.0)),
        "engine": Series(16.0, (16.0, 17.6)),
        "grpc": Series(20.0, (20.0, 22.0)),
    }
    agreement = Agreement(
        images=2,
        persons=5,
        other_persons=() if agrees else ("b.jpg",),
        box_px=0.0002,
        det_score=0.000001,
        close_share=0.9951,
        visible_px=0.2,
        clear_px=None,
        keypoint_score=0.001,
    )
    return Outcome(
        facts={"machine": {"processor": "A processor", "cores": 2}},
        entries={
            "paddlex": Entry("PaddleX, defaults", "rival"),
            "engine": Entry("bare engine", "limit"),
            "grpc": Entry("tritonpose, gRPC", "ours"),
        },
        measurements=(
            measurement(Case("p50", median), Case("p99", {"grpc": Series(30.0, (28.0, 32.0))})),
        ),
        reference="paddlex",
        verdicts=(Verdict("grpc", agreement, ()),),
        memory={"tritonpose, gRPC": 738_400_000},
        overhead=Overhead(request_ms=1.5, throughput_share=0.81),
        disturbance=Disturbance(idle_contestants=0.001, foreign=0.25, stolen=0.02),
    )


def test_figures_over_all_rounds_and_of_each() -> None:
    series = Series.of_samples([[1, 2, 9], [4, 5, 6]], statistics.median)
    assert series == Series(4.5, (2, 5))
    assert Series.of_rounds([3.0, 1.0, 2.0]) == Series(2.0, (3.0, 1.0, 2.0))
    assert [percentile(share)([5, 1, 4, 2, 3]) for share in (0, 50, 95, 100)] == pytest.approx(
        [1, 3, 4.8, 5]
    )


@pytest.mark.parametrize(
    ("better", "expected"), [("higher", (4.0, 8.0)), ("lower", (1 / 4, 1 / 8))]
)
def test_ratios_are_those_of_the_rounds(
    better: Literal["lower", "higher"], expected: tuple[float, float]
) -> None:
    """The machine was twice as fast in the second round, which changes no ratio by itself."""
    case = Case("x", {"ours": Series(30.0, (20.0, 80.0)), "rival": Series(8.0, (5.0, 10.0))})
    ratio = measurement(case, better=better).ratio(case, "ours", "rival")
    assert ratio == Series(statistics.median(expected), expected)
    assert measurement(case).ratio(case, "ours", "other") is None


def test_request_overhead_is_the_difference_of_medians_image_by_image() -> None:
    engine = np.array([[[10, 100]], [[11, 100]], [[12, 500]]], float)
    served = np.array([[[13, 104]], [[90, 104]], [[12, 104]]], float)
    assert request_overhead(served, engine) == ((13 - 11) + (104 - 100)) / 2


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [({0: 5, 1: 20, 9: 40, 30: 107}, 3), ({0: 5, 1: 20}, None), ({0: 5}, None)],
)
def test_cost_per_person(milliseconds: dict[int, float], expected: float | None) -> None:
    cases = [Case(str(n), {"grpc": Series(ms, (ms,))}) for n, ms in milliseconds.items()]
    cost = cost_per_person(measurement(*cases), "grpc")
    assert cost == expected
    assert Overhead(person_ms=cost, crop_ms=2).persons_per_crop == (cost and cost / 2)


def test_tables() -> None:
    found = {table.title.split(" ")[0]: table for table in tables(outcome())}
    assert [list(row) for row in found["Latency"].rows] == [
        ["PaddleX, defaults", "200 (200..220)", "-"],
        ["bare engine", "16.0 (16.0..17.6)", "-"],
        ["tritonpose, gRPC", "20.0 (20.0..22.0)", "30.0 (28.0..32.0)"],
    ]
    assert [list(row) for row in found["Times"].rows] == [
        ["tritonpose, gRPC : PaddleX, defaults", "10.0 (10.0..10.0)", "-"],
        ["tritonpose, gRPC : bare engine", "0.80 (0.80..0.80)", "-"],
    ]
    assert [cell for _, cell in found["What"].rows] == ["1.50", "81%"]
    assert found["Resident"].rows == [("tritonpose, gRPC", "738")]
    assert found["Answers"].rows == [("tritonpose, gRPC", "yes", "5", "0.0002", "99.51%", "-")]
    assert dict(found["Machine"].rows)["CPU used by other programs meanwhile"] == "25.0%"


def test_disagreement_shows() -> None:
    other = outcome(agrees=False)
    assert not other.agrees
    (table,) = (table for table in tables(other) if table.title.startswith("Answers"))
    assert (table.rows[0][1], table.rows[0][-1]) == ("NO", "b.jpg")


def test_text_and_markdown() -> None:
    table = Table("Title", ("", "a"), (("x", "1.0"), ("longer", "10")))
    title, *lines = table.as_text().splitlines()
    assert title == "Title"
    assert [line.split() for line in lines if "-" not in line] == [
        ["a"],
        ["x", "1.0"],
        ["longer", "10"],
    ]
    assert "| longer |" in table.as_markdown()


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


def test_chart(tmp_path: Path) -> None:
    ((title, bars),) = chart_groups(outcome()).items()
    assert title == "Latency & more: tritonpose, gRPC"
    assert [(label, role, ratio.value) for label, role, ratio in bars] == [
        ("PaddleX, defaults", "rival", 10),
        ("bare engine", "limit", pytest.approx(0.8)),
    ]
    save_chart(outcome(), tmp_path / "chart")
    assert ElementTree.parse(tmp_path / "chart").getroot().tag.endswith("svg")
    save_chart(outcome(), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
