"""Show the log on standard error, as text or JSON."""

from __future__ import annotations

import logging
from dataclasses import dataclass

# Name of the handler of a log that programs read.
_JSON = "tritonpose.json"


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
    level = logging.WARNING if options.quiet else logging.INFO
    _show(formatter, level, options.verbose, _JSON if options.json else None)


def is_json_log() -> bool:
    """Whether a program reads the log, so that all that is printed has to be of it."""
    return any(handler.name == _JSON for handler in logging.getLogger().handlers)


def _show(formatter: logging.Formatter, level: int, verbose: bool, name: str | None = None) -> None:
    handler = logging.StreamHandler()
    handler.name = name
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
