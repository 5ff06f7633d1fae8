"""Installations of the extras: what goes wrong with one does not end the run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.installs import __main__ as installs


def test_a_step_without_end_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installs, "_SECONDS", 0.1)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    assert installs._run(command, tmp_path, tmp_path) == "not finished after 0.1 s"
