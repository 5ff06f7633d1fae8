"""The unit for systemd: checked by systemd itself where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[3] / "docker" / "systemd" / "tritonpose.service"


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs the program systemd-analyze")
    # The program itself isn't installed here.
    text = UNIT.read_text().replace("/opt/tritonpose/bin/tritonpose serve", "/bin/true")
    unit = tmp_path / "tritonpose.service"
    unit.write_text(text)
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # What it ignores, such as unknown settings.
    assert "tritonpose.service" not in done.stderr


def test_the_unit_has_no_rights() -> None:
    settings = dict(
        line.split("=", 1)
        for line in UNIT.read_text().splitlines()
        if "=" in line and line[0] != "#"
    )
    assert settings["DynamicUser"] == settings["NoNewPrivileges"] == "yes"
    assert settings["ProtectSystem"] == "strict"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["StateDirectoryMode"] == "0700"
    assert settings["MemoryMax"]
