"""Run ``tritonpose config``: write the pipeline file that PaddleX's users start from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tritonpose.cli.console import FAILED, print_error
from tritonpose.cli.parsing import add_shared, command_parser
from tritonpose.cli.stand_ins import local_stand_ins
from tritonpose.config import PIPELINE_NAME
from tritonpose.errors import ConfigError
from tritonpose.whole_files import whole_file

_EXAMPLES = """\
  tritonpose config --save_path ./my_path      writes ./my_path/human_keypoint_detection.yaml
  tritonpose config --save_path mine.yaml
  tritonpose --get_pipeline_config human_keypoint_detection --save_path ./my_path   (as paddlex)
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit status is 1 where the file exists and the user keeps it."""
    parser = command_parser(
        "config",
        "[NAME] [--save_path PATH]",
        "Write PaddleX's pipeline file with default settings, to edit and pass to --pipeline.",
        _EXAMPLES,
    )
    parser.add_argument(
        "name", nargs="?", default=PIPELINE_NAME, metavar="NAME", help=f"default: {PIPELINE_NAME}"
    )
    parser.add_argument(
        "--save_path",
        metavar="PATH",
        help="a directory, or a file that ends in .yaml or .yml (default: ask)",
    )
    add_shared(parser, "quiet")
    options = parser.parse_args(arguments)
    if options.name != PIPELINE_NAME:
        raise ConfigError(f"unknown pipeline {options.name!r}; expected {PIPELINE_NAME}")
    place = options.save_path or _ask("Directory or file to write to [./]: ") or "."
    target = Path(place)
    if target.suffix not in (".yaml", ".yml"):
        target /= f"{PIPELINE_NAME}.yaml"
    if target.exists() and _ask(f"{target} exists. Replace it? [y/N]: ").lower() != "y":
        print_error(f"{target} exists and was left as it is; name another --save_path")
        return FAILED
    with whole_file(target) as file:
        file.write((_stand_in_comment() + default_pipeline()).encode())
    if not options.quiet:
        print(f"written to {target}", file=sys.stderr)
    return 0


def default_pipeline() -> str:
    """Return the text of PaddleX's pipeline file."""
    package = resources.files("tritonpose.cli")
    return package.joinpath(f"{PIPELINE_NAME}.yaml").read_text("utf-8")


def _stand_in_comment() -> str:
    """Name the open models that stand in here for the file's models; "" without the server."""
    named = default_pipeline()
    lines = [
        f"# {name} isn't installed here: unless a server can fetch it, {stand_in} stands in."
        for name, stand_in in local_stand_ins().items()
        if name in named
    ]
    hint = "# See `tritonpose models list`; --strict_models makes a stand-in an error."
    return "".join(f"{line}\n" for line in [*lines, hint]) if lines else ""


def _ask(question: str) -> str:
    """Ask the user; at the end of standard input the answer is empty."""
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip()
