"""Parse the options that several commands share."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from tritonpose.cli.completion import complete
from tritonpose.cli.console import USAGE_ERROR, closest, print_warning
from tritonpose.config import PIPELINE_NAME, check_classes, check_threshold
from tritonpose.errors import ConfigError
from tritonpose.local import LOCAL_URL
from tritonpose_pipeline.thresholds import threshold_from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tritonpose.transport.connection import ConnectionOptions
    from tritonpose_pipeline.thresholds import Threshold

API_KEY_VARIABLE = "TRITONPOSE_API_KEY"
"""Environment variable with the API key to send; for ``serve``, with the keys to accept."""


class Parser(argparse.ArgumentParser):
    """A parser that prints errors in one line and takes no abbreviations.

    Options may be written with dashes for their underscores. Shells that ask for completions get
    them instead of a result.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": _HelpFormatter, **options})

    def error(self, message: str) -> NoReturn:
        """Print a line and exit."""
        _, unknown, words = message.partition("unrecognized arguments: ")
        word = words.partition(" ")[0].partition("=")[0].replace("-", "_").replace("__", "--", 1)
        if unknown and (alike := closest(word, self._option_string_actions)):
            message = f"{message}: did you mean {alike}?"
        self.exit(USAGE_ERROR, f"error: {message} (see {self.prog} --help)\n")

    # As argparse's, whose overloads a subclass can't write shortly.
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what `parse_args` is given."""
        words, inputs = self._split(args)
        return super().parse_known_args([*words, *inputs], namespace)

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse inputs and options in any order; behind ``--`` all are inputs, also ``-x.jpg``."""
        words, inputs = self._split(args)
        # argparse takes such names for options here. No name has a NUL: these stand for them.
        named = {f"\0{number}": word for number, word in enumerate(inputs[1:])}
        options = super().parse_intermixed_args([*words, *named], namespace)

        def restored(value: Any) -> Any:
            if isinstance(value, list):
                return [restored(item) for item in value]
            return named.get(value, value) if isinstance(value, str) else value

        for key, value in vars(options).items():
            setattr(options, key, restored(value))
        return options

    def _split(self, args: Sequence[str] | None) -> tuple[list[str], list[str]]:
        """Split words at ``--``, with underscores in the options before it, or complete them."""
        complete(self)
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        return [self._with_underscores(word) for word in words[:end]], words[end:]

    def _with_underscores(self, word: str) -> str:
        name, equals, value = word.partition("=")
        underscored = "--" + name[2:].replace("-", "_")
        known = name.startswith("--") and underscored in self._option_string_actions
        return f"{underscored}{equals}{value}" if known else word


def command_parser(command: str, usage: str, description: str, examples: str) -> Parser:
    """Make the parser of a subcommand; ``examples`` are command lines, one a line."""
    return Parser(
        prog=f"tritonpose {command}",
        usage=f"%(prog)s {usage}",
        description=description,
        epilog=f"examples:\n{examples}",
    )


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keep examples as they are, and print ``--flag VALUE`` close to its explanation."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def threshold(text: str) -> Threshold | None:
    """Read a detector score threshold, one number or one by class, for ``type=``.

    By class it is CLASS=T,CLASS=T, or JSON.
    """
    try:
        if "=" in text and not text.lstrip().startswith("{"):
            pairs = [part.rpartition("=") for part in text.split(",")]
            by_class = {name.strip(): float(number) for name, _, number in pairs}
            if len(by_class) == len(pairs):
                return check_threshold(by_class, "det_threshold")
        else:
            return threshold_from_text(text, "det_threshold")
    except ValueError:
        pass  # ConfigError and ThresholdError are ValueErrors, too
    raise argparse.ArgumentTypeError(
        f"{text!r} isn't a valid detector score: expected a number from 0 to 1, or one of each "
        "class, such as worker=0.4,visitor=0.6"
    )


def boxes(text: str) -> object:
    """Read boxes, x1,y1,x2,y2 of each of one image, or the name of a JSON file, for ``type=``."""
    from tritonpose.given_boxes import GivenBoxes

    numbers = _numbers(text)
    if numbers is not None:
        if len(numbers) % 4:
            raise argparse.ArgumentTypeError(
                f"{len(numbers)} numbers: expected x1,y1,x2,y2 of each box"
            )
        given: object = [numbers[at : at + 4] for at in range(0, len(numbers), 4)]
    else:
        try:
            given = json.loads(Path(text).read_bytes())
        except OSError as error:
            raise argparse.ArgumentTypeError(
                f"{text!r}: expected x1,y1,x2,y2 of each box, or a JSON file: {error.strerror}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise argparse.ArgumentTypeError(f"{text!r} isn't a JSON file: {error}") from None
    try:
        GivenBoxes(given)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return given


def region(text: str) -> list[list[float]]:
    """Read the corners of a polygon, x1,y1,x2,y2,x3,y3 or more, for ``type=``."""
    from tritonpose.given_boxes import checked_roi

    numbers = _numbers(text)
    if numbers is None or len(numbers) % 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} isn't a polygon: expected x,y of each corner, such as 0,0,640,0,640,360"
        )
    corners = [numbers[at : at + 2] for at in range(0, len(numbers), 2)]
    try:
        checked_roi(corners)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return corners


def _numbers(text: str) -> list[float] | None:
    """Read numbers between commas; None where there is anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def classes(text: str) -> tuple[str, ...]:
    """Read a list of labels or ids, separated by commas, for ``type=``."""
    try:
        return check_classes([part.strip() for part in text.split(",")], "classes") or ()
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def choices(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Make an argument type for some of the known words, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        unknown = [word for word in words if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{unknown[0]!r} is an unknown value; choose from {', '.join(known)}"
            )
        return words

    return parse


def positive_seconds(text: str) -> float:
    """Read a positive number of seconds, for ``type=``."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number of seconds")
    return seconds


def whole_number(least: int = 1) -> Callable[[str], int]:
    """Make an argument type for a whole number, not below the least."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {least}")
        return int(text)

    return parse


def port(text: str) -> int:
    """Read a TCP port, from 1 to 65535, for ``type=``."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a valid port: expected 1 to 65535")
    return int(text)


_SHARED: dict[str, dict[str, Any]] = {
    "pipeline": {
        "default": PIPELINE_NAME,
        "metavar": "NAME_OR_YAML",
        "help": f"{PIPELINE_NAME} (default), or a PaddleX pipeline file",
    },
    "det_threshold": {
        "type": threshold,
        "metavar": "T",
        "help": "detector score that a person must exceed, 0 to 1, or one of each class: "
        "CLASS=T,CLASS=T (default: the pipeline's)",
    },
    "boxes": {
        "type": boxes,
        "metavar": "BOXES",
        "help": "people found elsewhere, so that no detector runs: x1,y1,x2,y2 in pixels of each, "
        "in one image; or a JSON file of a list of boxes, a list of such lists for several images, "
        "or an object of such lists by path",
    },
    "roi": {
        "type": region,
        "metavar": "X,Y,...",
        "help": "leave out people who don't stand in this polygon: x,y in pixels of each corner",
    },
    "fast_decode": {
        "action": "store_true",
        "help": "decode large JPEGs only as finely as models look at them: faster, and results "
        "change a little",
    },
    "device": {
        "metavar": "DEVICE",
        "help": "where models compute, unless a server is named: cpu (default), gpu or gpu:0; "
        "`serve` and `batch` also take gpu:0,1",
    },
    "strict_models": {
        "action": "store_true",
        "help": "fail where an open model would stand in for one that can't be fetched",
    },
    "verbose": {"action": "store_true", "help": "show all of the log"},
    "quiet": {"action": "store_true", "help": "print results, warnings and errors only"},
}


def add_shared(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options that several commands have.

    Of ``pipeline``, ``det_threshold``, ``boxes``, ``roi``, ``fast_decode``, ``device``,
    ``strict_models``, ``verbose`` and ``quiet``.
    """
    for name in names:
        parser.add_argument(f"--{name}", **_SHARED[name])


def add_port(parser: argparse._ActionsContainer, flag: str, default: int, meaning: str) -> None:
    """Add an option that takes a TCP port."""
    parser.add_argument(
        flag, type=port, default=default, metavar="PORT", help=f"{meaning} (default: %(default)s)"
    )


def add_paddlex_only(parser: argparse.ArgumentParser) -> None:
    """Add flags of PaddleX's command that have no effect here."""
    group = parser.add_argument_group("PaddleX's options, accepted without effect")
    group.add_argument("--use_hpip", action="store_true", help="models run as ONNX")
    group.add_argument("--hpi_config", metavar="CONFIG", help="as --use_hpip")
    group.add_argument("--engine", metavar="ENGINE", help="as --use_hpip")


def warn_without_effect(options: argparse.Namespace) -> None:
    """Warn about PaddleX flags that have no effect."""
    for flag in ("use_hpip", "hpi_config", "engine"):
        if getattr(options, flag, None):
            print_warning(f"--{flag} has no effect: models run as ONNX")


def add_server(parser: argparse.ArgumentParser, meaning: str, default: str) -> None:
    """Add ``--url``, with its meaning and default, and options for servers with authentication."""
    parser.add_argument(
        "--url",
        default=os.environ.get("TRITONPOSE_URL") or None,
        metavar="URL",
        help=f"{meaning}: grpc://HOST:PORT or http://HOST:PORT, several separated by commas "
        f"(default: $TRITONPOSE_URL, else {default})",
    )
    group = parser.add_argument_group("for a server that requires authentication, with --url")
    group.add_argument(
        "--api_key",
        metavar="KEY",
        help=f"better set ${API_KEY_VARIABLE}: everybody on this machine can read command lines",
    )
    group.add_argument(
        "--ca_file", metavar="FILE", help="certificates to trust (PEM), with grpcs:// or https://"
    )
    group.add_argument("--cert_file", metavar="FILE", help="your own certificate (PEM)")
    group.add_argument("--key_file", metavar="FILE", help="its private key (PEM)")


def check_server(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with an error where credentials are given for no server."""
    served = options.url not in (None, LOCAL_URL)
    if not served and (unused := [f"--{name}" for name in _given(options)]):
        parser.error(f"{', '.join(unused)} without --url: there is no server to authenticate to")


def warn_of_server_options(options: argparse.Namespace, url: str | None, *names: str) -> None:
    """Warn about options of what is started here, where a server at ``url`` is used instead."""
    for name in names:
        if url not in (None, LOCAL_URL) and getattr(options, name) not in (None, False):
            print_warning(f"--{name} has no effect: the server at {url} has its own")


def credentials(options: argparse.Namespace) -> ConnectionOptions:
    """Return the credentials given; the API key of the environment where no other is given."""
    # The program that listens at the default port need not be the user's server.
    if options.url in (None, LOCAL_URL):
        return {}
    api_key = os.environ.get(API_KEY_VARIABLE) or None
    given = {**({"api_key": api_key} if api_key else {}), **_given(options)}
    return cast("ConnectionOptions", given)


def _given(options: argparse.Namespace) -> dict[str, str]:
    names = ("api_key", "ca_file", "cert_file", "key_file")
    return {name: value for name in names if (value := getattr(options, name)) is not None}
