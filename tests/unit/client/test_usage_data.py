"""Libraries don't report their use, unless the user has decided so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import importlib, os, sys
importlib.import_module(sys.argv[1])
try:
    import openvino_telemetry
    reports = True
except ImportError:
    reports = False
print(os.environ["ORT_DISABLE_TELEMETRY"], os.environ["RAY_USAGE_STATS_ENABLED"], reports)
"""


def found(package: str, home: Path, **variables: str) -> str:
    names = ("ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, package],
        env={**environment, "HOME": str(home), **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize("package", ["tritonpose_server", "tritonpose_batch"])
def test_switched_off(package: str, tmp_path: Path) -> None:
    assert found(package, tmp_path) == "1 0 False"


def test_the_user_decides(tmp_path: Path) -> None:
    variables = {"ORT_DISABLE_TELEMETRY": "0", "RAY_USAGE_STATS_ENABLED": "1"}
    assert found("tritonpose_server", tmp_path, **variables) == "0 1 False"
    (tmp_path / "intel").mkdir()
    consent = tmp_path / "intel" / "openvino_telemetry"
    for content, reports in (("1\n", True), ("0", False), ("", False)):
        consent.write_text(content)
        assert found("tritonpose_server", tmp_path) == f"1 0 {reports}"
