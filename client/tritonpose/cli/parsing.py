"""What the commands' parsers have in common."""

from __future__ import annotations

import argparse
import math
from typing import Any, NoReturn

from tritonpose.cli.console import print_status
from tritonpose.cli.exit_status import USAGE_ERROR
from tritonpose.config import PIPELINE_NAME, check_threshold
from tritonpose.errors import ConfigError

API_KEY_VARIABLE = "TRITONPOSE_API_KEY"
"""Environment variable with the key to send, and for ``serve`` with those to ask for."""


class Parser(argparse.ArgumentParser):
    """A parser that tells errors in one line and takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": _HelpFormatter, **options})

    def error(self, message: str) -> NoReturn:
        """Print a line and exit."""
        self.exit(USAGE_ERROR, f"error: {message} (see {self.prog} --help)\n")


def command_parser(command: str, usage: str, description: str, examples: str) -> Parser:
    """Make the parser of a subcommand.

    Args:
        command: The subcommand.
        usage: Its arguments, in short.
        description: What it does, in lines.
        examples: Command lines, one a line.
    """
    return Parser(
        prog=f"tritonpose {command}",
        usage=f"%(prog)s {usage}",
        description=description,
        epilog=f"examples:\n{examples}",
    )


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves examples as they are, and writes ``--flag VALUE`` close to its explanation."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """Add ``--pipeline``."""
    parser.add_argument(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help=f"{PIPELINE_NAME} (default), or a PaddleX pipeline file",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="cpu (default), gpu, gpu:0 or gpu:0,1 (NVIDIA); for the server that is started here",
    )


def add_port(parser: argparse._ActionsContainer, flag: str, default: int, meaning: str) -> None:
    """Add an option that takes a TCP port."""
    parser.add_argument(
        flag, type=port, default=default, metavar="PORT", help=f"{meaning} (default: %(default)s)"
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose``."""
    parser.add_argument("--verbose", action="store_true", help="show all of the server's log")


def add_paddlex_only(parser: argparse.ArgumentParser) -> None:
    """Add flags that PaddleX's command has and that mean nothing here."""
    group = parser.add_argument_group("accepted for PaddleX's sake, without effect")
    group.add_argument("--use_hpip", action="store_true", help="models are always served by Triton")
    group.add_argument("--hpi_config", metavar="CONFIG", help="as --use_hpip")
    group.add_argument("--engine", metavar="ENGINE", help="models are served as ONNX")


def tell_without_effect(options: argparse.Namespace) -> None:
    """Say which flags of ``add_paddlex_only`` were given in vain."""
    for flag in ("use_hpip", "hpi_config", "engine"):
        if getattr(options, flag):
            print_status(f"--{flag} has no effect: models are served as ONNX, by Triton")


def threshold(text: str) -> float | None:
    """A detector score threshold, for ``type=``.

    Raises:
        ArgumentTypeError: It is no number from 0 to 1.
    """
    try:
        return check_threshold(float(text), "det_threshold")
    except (ConfigError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no detector score: expected a number from 0 to 1"
        ) from None


def positive_seconds(text: str) -> float:
    """A time, for ``type=``.

    Raises:
        ArgumentTypeError: It is no positive number.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number of seconds")
    return seconds


def port(text: str) -> int:
    """A TCP port, for ``type=``.

    Raises:
        ArgumentTypeError: It is no number from 1 to 65535.
    """
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: expected 1 to 65535")
    return int(text)
