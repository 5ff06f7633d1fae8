"""The command ``tritonpose`` as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("tritonpose"))


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without the choice of a server, and with further variables."""
    inherited = {key: value for key, value in os.environ.items() if key != "TRITONPOSE_URL"}
    return {**inherited, **variables}


def run(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    Args:
        directory: Where it runs.
        arguments: Its command line.
        variables: Further environment variables.
    """
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=directory,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
