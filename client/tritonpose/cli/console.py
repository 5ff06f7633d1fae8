"""What is told to the user, on standard error: standard output is for results."""

from __future__ import annotations

import logging
import sys


def print_status(line: str) -> None:
    """Tell what is going on."""
    print(f"[tritonpose] {line}", file=sys.stderr, flush=True)


def print_error(message: str) -> None:
    """Tell an error."""
    print(f"error: {message}", file=sys.stderr, flush=True)


def log_to_stderr(
    *, level: int = logging.WARNING, line: str = "%(levelname)s: %(message)s", verbose: bool
) -> None:
    """Show the log.

    Args:
        level: The lowest level to show.
        line: Format of a line, as for `logging`.
        verbose: Show everything of tritonpose and its server, whatever its level.
    """
    logging.basicConfig(format=line, level=level)
    if verbose:
        logging.getLogger("tritonpose").setLevel(logging.DEBUG)
