"""Run the demo: ``tritonpose predict`` with a sample photo, and results saved to ``output``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tools.sample_photo import sample_photo
from tritonpose import create_pipeline
from tritonpose.cli.console import be_quiet, exit_status, print_status
from tritonpose.cli.logs import log_to_stderr
from tritonpose.cli.parsing import Parser
from tritonpose.cli.predict import add_options, predict
from tritonpose.config import PIPELINE_NAME, PipelineConfig
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose_server.cli.servers import embedded_server

_DESCRIPTION = """\
Find people and their keypoints in images, videos and folders of them (default: a sample photo),
served by a real Triton server that runs for the demo only. Print the results, and save them as JSON
and as pictures. The first run fetches models, which takes a minute or two."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo."""
    parser = Parser(
        prog="scripts/demo", usage="%(prog)s [INPUT ...] [options]", description=_DESCRIPTION
    )
    add_options(parser, save_path="output")
    options = parser.parse_intermixed_args(arguments)
    return exit_status(lambda: _run(options), "the demo")


def _run(options: argparse.Namespace) -> int:
    log_to_stderr(verbose=options.verbose)
    if options.quiet:
        be_quiet()
    inputs = [*options.inputs, *options.more_inputs]
    return predict(inputs or [str(sample_photo(print_status))], options, _served_pipeline)


@contextmanager
def _served_pipeline(options: argparse.Namespace) -> Iterator[HumanKeypointPipeline]:
    """Start a server of the pipeline, stopped with the context, and connect to it."""
    config = PipelineConfig.load(options.pipeline)
    server = embedded_server(
        config, options.device, print_status, strict_models=options.strict_models
    )
    print_status("starting Triton")
    began = time.monotonic()
    with server:
        seconds = time.monotonic() - began
        print_status(f"Triton is ready after {seconds:.1f} s at {server.grpc_url}")
        # The server's defaults are those of the configuration: requests need none.
        fast = options.fast_decode
        with create_pipeline(PIPELINE_NAME, url=server.grpc_url, fast_decode=fast) as client:
            yield client


if __name__ == "__main__":
    sys.exit(main())
