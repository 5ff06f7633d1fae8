"""What is told to the user, on standard error: standard output is for results."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass


def print_status(line: str) -> None:
    """Tell what is going on."""
    print(f"[tritonpose] {line}", file=sys.stderr, flush=True)


def print_error(message: str) -> None:
    """Tell an error."""
    print(f"error: {message}", file=sys.stderr, flush=True)


def log_to_stderr(
    *,
    level: int = logging.WARNING,
    line: str = "%(levelname)s: %(message)s",
    json: bool = False,
    verbose: bool,
) -> None:
    """Show the log.

    Args:
        level: The lowest level to show.
        line: Format of a line, as for `logging`.
        json: Write JSON objects, one a line, instead.
        verbose: Show everything of tritonpose and its server, whatever its level.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(json_formatter() if json else logging.Formatter(line))
    logging.basicConfig(handlers=[handler], level=level)
    if verbose:
        logging.getLogger("tritonpose").setLevel(logging.DEBUG)


@dataclass(frozen=True)
class LogOptions:
    """How a service logs.

    Attributes:
        verbose: Show everything of tritonpose and its server, whatever its level.
        json: Write JSON objects, one a line, instead of text.
    """

    verbose: bool = False
    json: bool = False


def log_service(options: LogOptions) -> None:
    """Show the log of a service, with dates."""
    log_to_stderr(
        level=logging.INFO,
        line="%(asctime)s %(levelname)s %(message)s",
        json=options.json,
        verbose=options.verbose,
    )


def json_formatter() -> logging.Formatter:
    """One JSON object per line: `time`, `level`, `logger`, `message`, and fields of the record."""
    # Of the server's extra, not of the client.
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(
        ["time", "levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
    )
