"""Completion of the command line, asked for as bash asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from tritonpose.cli import main; import sys; sys.exit(main())"


def completions(line: str, folder: Path) -> list[str]:
    """Ask as the function does that ``register-python-argcomplete`` defines."""
    asked = {
        "COMP_LINE": line,
        "COMP_POINT": str(len(line.encode())),
        "COMP_TYPE": "9",
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(folder / "completions"),
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **asked}, cwd=folder, check=True
    )
    return (folder / "completions").read_text().split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tritonpose pr", ["predict"]),
        ("tritonpose --det_t", ["--det_threshold"]),
        ("tritonpose --pipeline x --serve --http", ["--http_port"]),
        ("tritonpose predict photo.jpg --str", ["--strict_models"]),
        ("tritonpose track clip.mp4 --det_i", ["--det_interval"]),
        ("tritonpose track 0 --smooth ", ["on", "off", "offline"]),
        ("tritonpose batch --shar", ["--shard_size"]),
        ("tritonpose models inst", ["install"]),
        ("tritonpose models variant x --precision ", ["bf16", "int8"]),
        ("tritonpose predict --json photo", ["photograph.jpg"]),
        ("tritonpose predict -- photo", ["photograph.jpg"]),
    ],
)
def test_what_is_offered(line: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "photograph.jpg").touch()
    assert completions(line, tmp_path) == expected


def test_subcommands_are_offered(tmp_path: Path) -> None:
    offered = completions("tritonpose ", tmp_path)
    assert {"predict", "track", "batch", "serve", "models", "config"} <= set(offered)
