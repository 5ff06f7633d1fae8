"""Install every extra alone, on each Python, at its oldest and newest versions, and try it.

Needs uv, and nothing of the project's own environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[3]
_FIRST_COMMANDS = Path(__file__).with_name("first_commands.py")
_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_RESOLUTIONS = ("lowest-direct", "highest")
EXTRAS = (
    *("client", "triton", "service", "local", "models", "server", "batch"),
    *("tracing", "dataframe", "supervision", "npm", "tools"),
)
_SECONDS = 1200
_SHOWN_LINES = 25


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit status is 1 where an installation or a first command fails."""
    options = _parser().parse_args(arguments)
    failed = []
    with tempfile.TemporaryDirectory(prefix="tritonpose-wheel-") as folder:
        build = ["uv", "build", "--quiet", "--wheel", "--out-dir", folder, str(_ROOT)]
        subprocess.run(build, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        for extra, python, resolution in product(
            options.extras, options.pythons, options.resolutions
        ):
            name = f"{extra}, Python {python}, {resolution}"
            began = time.monotonic()
            problem = _try(wheel, extra, python, resolution)
            word = "ok" if problem is None else "FAILED"
            print(f"{word}  {name}  ({time.monotonic() - began:.0f} s)", flush=True)
            if problem is not None:
                failed.append(name)
                print("\n".join(f"    {line}" for line in problem.splitlines()[-_SHOWN_LINES:]))
    print(f"{len(failed)} failed" + "".join(f"\n  {name}" for name in failed))
    return 1 if failed else 0


def _try(wheel: Path, extra: str, python: str, resolution: str) -> str | None:
    """Install one extra and run its first command; return what is wrong."""
    with tempfile.TemporaryDirectory(prefix="tritonpose-installs-") as temporary:
        folder = Path(temporary)
        environment = folder / "environment"
        work = folder / "work"
        work.mkdir()
        versions = str(folder / "versions.txt")
        wheels = ("--quiet", "--only-binary", ":all:")
        steps = (
            ["uv", "venv", "--quiet", "--python", python, str(environment)],
            # Wheels alone: what has none for a Python can't be installed there by most. Resolved
            # apart, as "direct" are the dependencies of a project, not those of a wheel.
            [
                *("uv", "pip", "compile", *wheels, "--resolution", resolution),
                *(() if extra == "client" else ("--extra", extra)),
                *("--python-version", python, "--output-file", versions),
                str(_ROOT / "pyproject.toml"),
            ],
            ["uv", "pip", "install", *wheels, "--requirement", versions, str(wheel)],
            [str(environment / "bin" / "python"), "-I", str(_FIRST_COMMANDS), extra],
        )
        for step in steps:
            problem = _run(step, work, environment)
            if problem is not None:
                return f"$ {' '.join(step)}\n{problem}"
    return None


def _run(command: Sequence[str], folder: Path, environment: Path) -> str | None:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done: subprocess.CompletedProcess[Any] = subprocess.run(
            command,
            cwd=folder,
            env={**variables, "VIRTUAL_ENV": str(environment)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return f"not finished after {_SECONDS} s"
    return None if done.returncode == 0 else done.stdout


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scripts/check_installs", description=__doc__)
    for name, choices in (
        ("extras", EXTRAS),
        ("pythons", _PYTHONS),
        ("resolutions", _RESOLUTIONS),
    ):
        parser.add_argument(
            f"--{name}",
            nargs="+",
            choices=choices,
            default=choices,
            metavar=name[:-1].upper(),
            help=f"of: {', '.join(choices)} (default: all)",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
