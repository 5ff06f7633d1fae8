"""Run ``tritonpose predict``, the command that PaddleX's own flags mean, too."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tritonpose.cli.console import FAILED, be_quiet, print_error
from tritonpose.cli.logs import log_to_stderr
from tritonpose.cli.output import DRAWABLE, Output, write_results
from tritonpose.cli.parsing import (
    add_paddlex_only,
    add_server,
    add_shared,
    check_server,
    choices,
    command_parser,
)
from tritonpose.cli.pipelines import missing_file, open_pipeline, stand_in
from tritonpose.config import PipelineConfig

if TYPE_CHECKING:
    from tritonpose.pipeline import HumanKeypointPipeline

_DESCRIPTION = """\
Find people and their keypoints. Results go to standard output, everything else to standard
error."""
_EXAMPLES = """\
  tritonpose predict photo.jpg --save_path output
  tritonpose predict photos/ more/*.png --det_threshold 0.5 --json > poses.jsonl
  tritonpose predict https://example.com/photo.jpg --device gpu:0
  tritonpose predict clip.mp4 --url grpc://server:8001 --save_path output
  tritonpose --pipeline human_keypoint_detection --input photo.jpg --save_path ./output
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit status is 1 where an input failed."""
    parser = command_parser("predict", "INPUT [INPUT ...] [options]", _DESCRIPTION, _EXAMPLES)
    add_options(parser)
    add_server(
        parser,
        "use this server, or `local:` for this process",
        "a server that listens at localhost:8001, else this process",
    )
    add_paddlex_only(parser)
    # Intermixed: inputs may come before, between and after the flags.
    options = parser.parse_intermixed_args(arguments)
    inputs = [*options.inputs, *options.more_inputs]
    if not inputs:
        parser.error("name an input: an image, a directory, a video or a URL")
    check_server(parser, options)
    # What is wrong with them is said before anything else, and before anything is started.
    PipelineConfig.load(options.pipeline)
    _output(options).check(inputs)
    log_to_stderr(verbose=options.verbose)
    if options.quiet:
        be_quiet()
    # As for other commands; the rest of the product takes only paths.
    inputs = ["/dev/stdin" if name == "-" else name for name in inputs]
    problems = [_problem(name) for name in inputs]
    if options.url is None and all(problems):
        for problem in problems:
            print_error(str(problem))
        return FAILED
    return predict(inputs, options, open_pipeline)


def add_options(parser: argparse.ArgumentParser, save_path: str | None = None) -> None:
    """Add the options about inputs, results and models, which ``scripts/demo`` has, too."""
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="image, video, directory of these, URL, or - for standard input",
    )
    parser.add_argument(
        "--input",
        dest="more_inputs",
        nargs="+",
        action="extend",
        default=[],
        metavar="INPUT",
        help="the same, as PaddleX writes it",
    )
    add_shared(parser, "pipeline", "det_threshold", "boxes", "roi", "fast_decode")
    parser.add_argument(
        "--save_path",
        metavar="PATH",
        default=save_path,
        help="directory for NAME_res.json and the picture NAME_res.* of each image; or a file, "
        f".json, .jpg, ..., for one image (default: {save_path or 'save nothing'})",
    )
    parser.add_argument(
        "--draw",
        type=choices(DRAWABLE),
        default=(),
        metavar="WHAT",
        help=f"what pictures show besides the poses: {', '.join(DRAWABLE)}, separated by commas",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON per image")
    add_shared(parser, "device", "strict_models", "verbose", "quiet")


def predict(
    inputs: Sequence[str],
    options: argparse.Namespace,
    opened: Callable[[argparse.Namespace], AbstractContextManager[HumanKeypointPipeline]],
) -> int:
    """Predict with the pipeline that is opened for options, print and save.

    The options are those of ``add_options``. Returns 1 where an input failed.
    """
    output = _output(options)
    with opened(options) as pipeline:
        results = pipeline.predict(
            inputs,
            options.det_threshold,
            boxes=options.boxes,
            roi=options.roi,
            on_error="collect",
        )
        return write_results(results, output, inputs, stand_in=lambda: stand_in(options))


def _output(options: argparse.Namespace) -> Output:
    return Output(options.json, options.save_path, frozenset(options.draw))


def _problem(name: str) -> str | None:
    """Say what is wrong with an input, where that is known without reading it."""
    from tritonpose.inputs.addresses import local_path, unread_address

    return unread_address(local_path(name)) or missing_file(name)
