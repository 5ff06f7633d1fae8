"""``tritonpose config``: write the pipeline file that PaddleX's users start from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tritonpose.cli.console import print_error
from tritonpose.cli.exit_status import FAILED
from tritonpose.cli.parsing import command_parser
from tritonpose.config import PIPELINE_NAME
from tritonpose.errors import ConfigError

_EXAMPLES = """\
  tritonpose config --save_path ./my_path      writes ./my_path/human_keypoint_detection.yaml
  tritonpose config --save_path mine.yaml
  tritonpose --get_pipeline_config human_keypoint_detection --save_path ./my_path   (as paddlex)
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Its command line.

    Returns:
        Exit status: 1 where the file exists and is not to be replaced.

    Raises:
        ConfigError: There is no such pipeline.
        OSError: The file can't be written.
    """
    parser = command_parser(
        "config",
        "[NAME] [--save_path PATH]",
        "Write the PaddleX pipeline file with its default settings. Edit it and name it by\n"
        "--pipeline.",
        _EXAMPLES,
    )
    parser.add_argument(
        "name", nargs="?", default=PIPELINE_NAME, metavar="NAME", help=f"default: {PIPELINE_NAME}"
    )
    parser.add_argument(
        "--save_path",
        metavar="PATH",
        help="a directory, or a file whose name ends in .yaml or .yml; without it you are asked",
    )
    options = parser.parse_args(arguments)
    if options.name != PIPELINE_NAME:
        raise ConfigError(f"no pipeline {options.name!r} is known; there is {PIPELINE_NAME}")
    place = options.save_path or _ask("Directory or file to write to [./]: ") or "."
    target = Path(place)
    if target.suffix not in (".yaml", ".yml"):
        target /= f"{PIPELINE_NAME}.yaml"
    if target.exists() and _ask(f"{target} exists. Replace it? [y/N]: ").lower() != "y":
        print_error(f"{target} exists and is left as it is; name another --save_path")
        return FAILED
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(default_pipeline(), "utf-8")
    print(f"written to {target}", file=sys.stderr)
    return 0


def default_pipeline() -> str:
    """PaddleX's pipeline file, as text."""
    package = resources.files("tritonpose.cli")
    return package.joinpath(f"{PIPELINE_NAME}.yaml").read_text("utf-8")


def _ask(question: str) -> str:
    """Ask the user; where nobody is there to answer, the answer is empty."""
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip()
