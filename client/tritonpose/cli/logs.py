"""Show the log on standard error, as text or JSON."""

from __future__ import annotations

import logging
from dataclasses import dataclass


@dataclass(frozen=True)
class LogOptions:
    """How a service logs: as text, or with `json` as JSON objects, one a line.

    `verbose` shows everything of tritonpose and its server, whatever its level; `quiet` only
    warnings and errors.
    """

    verbose: bool = False
    json: bool = False
    quiet: bool = False


def log_to_stderr(*, verbose: bool) -> None:
    """Show the warnings and errors of a command; for ``verbose`` see `LogOptions`."""
    _show(logging.Formatter("%(levelname)s: %(message)s"), logging.WARNING, verbose)


def log_service(options: LogOptions) -> None:
    """Show the log of a service, with dates."""
    formatter = (
        json_formatter()
        if options.json
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    _show(formatter, logging.WARNING if options.quiet else logging.INFO, options.verbose)


def _show(formatter: logging.Formatter, level: int, verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level)
    if verbose:
        logging.getLogger("tritonpose").setLevel(logging.DEBUG)


def json_formatter() -> logging.Formatter:
    """Make one JSON object per line: `time`, `level`, `logger`, `message`, further fields."""
    # Of the extra `service`, not of the client.
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(
        ["time", "levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
    )
