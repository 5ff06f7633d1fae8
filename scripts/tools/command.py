"""What the commands of the tools share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def print_progress(line: str) -> None:
    """Print a line about the progress to the standard error, apart from the results."""
    print(f"[tritonpose] {line}", file=sys.stderr, flush=True)


def names_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Make an argument type for a list of names, separated by commas.

    Args:
        known: The names that may occur.
    """

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown)}: expected some of {','.join(known)}"
            )
        return names

    return parse
