"""What is told in the end, and what counts as found."""

from __future__ import annotations

import pytest

from tools.soak.__main__ import main
from tools.soak.bench import PartReport
from tools.soak.report import as_json, as_text
from tools.soak.tally import Outcome, Tally


def report() -> PartReport:
    tally = Tally()
    for number in range(100):
        tally.add("gRPC", "good", Outcome.ANSWERED, number / 1000)
    tally.add("REST", "good", Outcome.ANSWERED, 0.05)
    for number in range(30):
        tally.violate(f"wrong answer {number}")
    found = PartReport("load")
    found.add_tally(tally)
    return found


def test_text() -> None:
    lines = as_text([report()]).splitlines()
    assert lines[0] == "load: VIOLATED"
    assert [line.split(maxsplit=2)[2] for line in lines[1:2]] == ["101 (REST 1, gRPC 100)"]
    assert "answered by REST after, ms (p50 p95 p99)" in lines[2]
    assert lines[3].endswith("50 94 98")
    assert lines[4].split() == ["violations", "30"]
    assert len(lines) == 25


def test_json() -> None:
    content = as_json([report(), PartReport("kills")])
    assert content["load"]["violations"][0] == "wrong answer 0"
    assert content["kills"] == {"figures": {}, "violations": []}


def test_processes_that_were_started_anew() -> None:
    found = PartReport("fuzz")
    found.compare_processes({"triton": 1, "hps": 2}, {"triton": 1, "hps": 3})
    assert found.violations == ["process hps has died and was started again"]


def test_unknown_parts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "fuzz,fizz"])
    assert "fizz: expected some of fuzz,load,requests,reloads,kills" in capsys.readouterr().err
