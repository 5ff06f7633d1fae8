"""Run the command ``tritonpose``: one module per subcommand, imported when it is run.

Without a subcommand it takes the flags of PaddleX's command ``paddlex``, which are a second way to
write three of the subcommands: ``--input ...`` for ``predict``, ``--serve`` for ``serve`` and
``--get_pipeline_config NAME`` for ``config``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points

from tritonpose.cli.completion import skip_subcommand, words_to_complete
from tritonpose.cli.console import USAGE_ERROR, closest, exit_status, print_error

COMMANDS = ("predict", "track", "config")
"""The client's own subcommands; other packages add theirs as entry points of `GROUP`."""

GROUP = "tritonpose.commands"

_HELP = """\
usage: tritonpose COMMAND ...        see `tritonpose COMMAND --help`
       tritonpose [PaddleX's flags]  as you would call paddlex

Find people and their keypoints in images and videos, with the results of PaddleX's
pipeline human_keypoint_detection, on NVIDIA Triton or in this process.

commands:
  predict   print, draw and save the poses in images, directories, videos and URLs
  track     follow people in videos and cameras: ids, annotated videos, MOT and COCO files
  batch     process many inputs on Ray into Parquet and COCO files; a stopped job continues
  serve     run a server: Triton, PaddleX's REST service and a web page
  models    list, fetch, convert, install, vary, export and remove models
  config    write PaddleX's pipeline file, to edit and pass to --pipeline

PaddleX's flags:
  --pipeline NAME_OR_YAML --input INPUT ...   the same as `tritonpose predict INPUT ...`
  --serve --pipeline NAME_OR_YAML             the same as `tritonpose serve`
  --get_pipeline_config NAME                  the same as `tritonpose config NAME`
  with the subcommand's other options, such as --det_threshold, --save_path, --device, --port

options:
  -h, --help  show this help
  --version   show the version

examples:
  tritonpose predict photo.jpg --save_path output
  tritonpose predict photos/ --det_threshold 0.5 --device gpu:0 --json > poses.jsonl
  tritonpose predict clip.mp4 --url grpc://server:8001 --save_path output
  tritonpose track clip.mp4 --save_path output
  tritonpose --pipeline human_keypoint_detection --input photo.jpg --save_path ./output
  tritonpose serve --port 8080

predict and track use the server of --url or $TRITONPOSE_URL, else one at localhost:8001, else they
run in this process; batch starts a server where none is named. An extra that is missing is named.
Exit status: 0 success, 1 an input or the server failed, 2 wrong usage, 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, by default with the arguments of the process; see ``exit_status``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if (begun := words_to_complete()) is not None:
        return _complete(begun)
    command, rest = split_command(words) if words else (None, [])
    return exit_status(lambda: _run(words, command, rest), command)


def _run(words: list[str], command: str | None, rest: list[str]) -> int:
    if command is None:
        print(_HELP, file=sys.stderr, end="")
        return USAGE_ERROR
    if words[0] in ("-h", "--help"):
        print(_HELP, end="")
        return 0
    if words[0] == "--version":
        from tritonpose import __version__

        print(f"tritonpose {__version__}")
        return 0
    if command in COMMANDS:
        return int(import_module(f"tritonpose.cli.{command}").main(rest))
    for entry in entry_points(group=GROUP, name=command):
        return int(entry.load()(rest))
    others = (entry.name for entry in entry_points(group=GROUP))
    alike = closest(command, [*COMMANDS, *others, "--help", "--version"])
    hint = f"did you mean {alike}?" if alike else "for images: tritonpose predict"
    print_error(f"no command {command!r} (see tritonpose --help); {hint}")
    return USAGE_ERROR


def _complete(words: list[str]) -> int:
    """Print completions of a subcommand, or of one's arguments, for the shell that asks."""
    if len(words) == 1 and not words[0].startswith("-"):
        from tritonpose.cli.parsing import Parser

        parser = Parser()
        names = {*COMMANDS, *(entry.name for entry in entry_points(group=GROUP))}
        parser.add_argument("command", choices=sorted(names))
        parser.parse_args([])
    command, _ = split_command(words)
    if not words[0].startswith("-"):
        skip_subcommand()
    return _run([command], command, [])


def split_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """Find the subcommand and its arguments in a command line, not empty, or in PaddleX's flags."""
    if not words[0].startswith("-"):
        return words[0], list(words[1:])
    end = words.index("--") if "--" in words else len(words)
    for position, given in enumerate(words[:end]):
        word = given.replace("-", "_").replace("__", "--", 1)
        rest = [*words[:position], *words[position + 1 :]]
        if word == "--serve":
            return "serve", rest
        if word == "--get_pipeline_config":
            # The pipeline's name follows, which `config` takes without a flag.
            return "config", rest
        if word.startswith("--get_pipeline_config="):
            return "config", [given.partition("=")[2], *rest]
    return "predict", list(words)
