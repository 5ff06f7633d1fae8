"""What the commands of the tools share."""

from __future__ import annotations

import argparse
import json
import logging
import signal
from collections.abc import Callable, Collection
from pathlib import Path

from tritonpose.cli.console import FAILED, INTERRUPTED, print_error
from tritonpose.errors import TritonPoseError


def run_command(command: Callable[[], int]) -> int:
    """Run a command and print its errors in one line each; 1 after an error, 130 after Ctrl-C."""
    # As after Ctrl-C, programs that the command has started are ended, too.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        return command()
    except (TritonPoseError, OSError) as error:
        print_error(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def write_json(path: Path | None, content: object) -> None:
    """Write a report for programs, if a file for it is named."""
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def names_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Make an argument type for a list of names, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown)}: expected some of {','.join(known)}"
            )
        return names

    return parse
