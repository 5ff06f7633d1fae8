"""A short run of scripts/soak: everything is tried, and nothing is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.soak.__main__ import main
from tools.soak.run import PARTS

SHORT = (
    "--decoded=200",
    "--sent=120",
    "--attack_seconds=0.3",
    "--minutes=0.05",
    "--requests=120",
    "--reloads=1",
    "--kills=1",
)


def test_a_short_run(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    # The others are killed in test_supervision.py.
    status = main([*SHORT, "--roles=hps", f"--photo={photo}", f"--json={figures}"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    found = json.loads(figures.read_text())
    assert list(found) == list(PARTS)
    assert [part["violations"] for part in found.values()] == [[]] * len(PARTS)
    for words in ("hung up, cancelled", "bad, rejected", "own box, answered", "hps: recovered"):
        assert words in printed
