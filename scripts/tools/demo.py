"""Run the demo: ``tritonpose predict`` with a sample photo, and results saved to ``output``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tools.sample_photo import sample_photo
from tritonpose.cli.console import exit_status, print_status
from tritonpose.cli.logs import log_to_stderr
from tritonpose.cli.parsing import Parser
from tritonpose.cli.predict import add_options, predict

_DESCRIPTION = """\
Find people and their keypoints in images, videos and folders of them (default: a sample photo),
served by a real Triton server that runs for the demo only. Print the results, and save them as JSON
and as pictures or videos. The first run fetches models, which takes a minute or two."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo."""
    parser = Parser(
        prog="scripts/demo", usage="%(prog)s [INPUT ...] [options]", description=_DESCRIPTION
    )
    add_options(parser, save_path="output")
    parser.set_defaults(url=None)
    options = parser.parse_intermixed_args(arguments)
    return exit_status(lambda: _run(options), "the demo")


def _run(options: argparse.Namespace) -> int:
    log_to_stderr(verbose=options.verbose)
    inputs = [*options.inputs, *options.more_inputs]
    return predict(inputs or [str(sample_photo(print_status))], options)


if __name__ == "__main__":
    sys.exit(main())
