"""The demo: ``tritonpose predict`` with a sample photo, and results saved to ``output``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tools.sample_photo import sample_photo
from tritonpose.cli.console import log_to_stderr, print_status
from tritonpose.cli.exit_status import exit_status
from tritonpose.cli.predict import add_options, predict
from tritonpose_server.cli.embedded_pipeline import embedded_pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        Exit status, see ``tritonpose.cli.exit_status``.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Find people and their keypoints in images (default: a sample photo), served "
        "by a real Triton server that runs for the demo only. Prints the results and saves them "
        "as JSON and picture.",
    )
    add_options(parser)
    parser.set_defaults(save_path="output")
    options = parser.parse_intermixed_args(arguments)
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    log_to_stderr(verbose=options.verbose)
    inputs = [*options.inputs, *options.more_inputs]
    with embedded_pipeline(options.pipeline, options.device, print_status) as pipeline:
        return predict(pipeline, inputs or [str(sample_photo(print_status))], options)


if __name__ == "__main__":
    sys.exit(main())
