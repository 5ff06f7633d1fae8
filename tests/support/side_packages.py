"""Packages for single tests, beside the environment, as they are large or clash with it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tritonpose_server.models.home import cache_home


def side_packages(*packages: str, dependencies: bool = False) -> Path:
    """A folder with packages, kept for later test runs; skips where they can't be installed."""
    name = "-".join([*packages, f"python{sys.version_info.major}.{sys.version_info.minor}"])
    folder = cache_home() / "test-packages" / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        fresh = Path(temporary) / name
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--retries=1", "--timeout=20"]
        options = [] if dependencies else ["--no-deps"]
        command = [*pip, *options, f"--target={fresh}", *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            why = done.stderr.strip().splitlines()[-1]
            pytest.skip(f"{packages[0]} can't be installed: {why}")
        fresh.rename(folder)
    return folder
