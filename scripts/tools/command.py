"""What the commands of the tools share."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from tritonpose.cli.console import exit_status
from tritonpose.cli.logs import log_to_stderr


def run_command(command: Callable[[], int]) -> int:
    """Run a command that starts programs; see `exit_status`."""
    # As after Ctrl-C, which shells let background jobs ignore, the programs are ended, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log_to_stderr(verbose=False)
    return exit_status(command)


def write_json(path: Path | None, content: object) -> None:
    """Write a report for programs, if a file for it is named."""
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
