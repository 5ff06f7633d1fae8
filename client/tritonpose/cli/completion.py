"""Answer a shell that asks for completions, by argcomplete.

``eval "$(register-python-argcomplete tritonpose)"`` makes bash and zsh ask.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_ASKED = "_ARGCOMPLETE"
"""Set by the shell's hook: the number of words that begin the line and are the program's own."""


def words_to_complete() -> list[str] | None:
    """Return the words of the line without the program; None if no shell asks.

    The last is what the shell has of the word to complete.
    """
    if _ASKED not in os.environ:
        return None
    from argcomplete.lexers import split_line

    line, end = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    _, begun, _, words, _ = split_line(line, end)
    return [*words[int(os.environ[_ASKED]) :], begun]


def skip_subcommand() -> None:
    """Leave the subcommand out of what is parsed for completion."""
    os.environ[_ASKED] = str(int(os.environ[_ASKED]) + 1)


_begun: set[str] = set()


def complete(parser: argparse.ArgumentParser) -> None:
    """Print the completions that a parser knows and end the process, if the shell asks."""
    # argcomplete parses what there is by the same parser.
    if _ASKED in os.environ and not _begun:
        import argcomplete

        _begun.add(parser.prog)
        argcomplete.autocomplete(parser, always_complete_options="long")
