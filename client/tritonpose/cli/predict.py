"""``tritonpose predict``, which is also what PaddleX's own flags mean."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.cli.console import log_to_stderr, print_error, print_status
from tritonpose.cli.credentials import add_credentials, credentials
from tritonpose.cli.exit_status import FAILED
from tritonpose.cli.output import DRAWABLE, Output, write_results
from tritonpose.cli.parsing import (
    API_KEY_VARIABLE,
    add_device,
    add_paddlex_only,
    add_pipeline,
    add_verbose,
    command_parser,
    tell_without_effect,
    threshold,
)

if TYPE_CHECKING:
    from tritonpose.pipeline import HumanKeypointPipeline

_DESCRIPTION = """\
Find people and their keypoints. Results are printed to standard output, everything else to
standard error."""
_EXAMPLES = """\
  tritonpose predict photo.jpg --save_path output
  tritonpose predict photos/ more/*.png --det_threshold 0.5 --json > poses.jsonl
  tritonpose predict https://example.com/photo.jpg --device gpu:0
  tritonpose predict clip.mp4 --url grpc://server:8001 --save_path output
  tritonpose --pipeline human_keypoint_detection --input photo.jpg --save_path ./output
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Its command line.

    Returns:
        Exit status: 1 where an input failed.

    Raises:
        ConfigError: The pipeline's configuration, the device or the URL is wrong.
        TritonPoseError: The server can't be started.
        OSError: Results can't be written.
    """
    parser = command_parser("predict", "INPUT [INPUT ...] [options]", _DESCRIPTION, _EXAMPLES)
    add_options(parser)
    parser.add_argument(
        "--url",
        default=os.environ.get("TRITONPOSE_URL") or None,
        metavar="URL",
        help="use this server instead of starting one: grpc://HOST:PORT or http://HOST:PORT, "
        "several separated by commas (default: $TRITONPOSE_URL)",
    )
    add_credentials(parser)
    add_paddlex_only(parser)
    # Intermixed: inputs may come before, between and after the flags.
    options = parser.parse_intermixed_args(arguments)
    inputs = [*options.inputs, *options.more_inputs]
    if not inputs:
        parser.error("name an input: an image, a directory, a video or a URL")
    if options.url is None and (unused := [f"--{name}" for name in credentials(options)]):
        parser.error(f"{', '.join(unused)} without --url: there is no server to show them to")
    log_to_stderr(verbose=options.verbose)
    tell_without_effect(options)
    if options.url is None and all(map(_is_missing, inputs)):
        # A misspelt name is not worth starting a server for.
        for path in inputs:
            print_error(f"no such file or directory: {path!r}")
        return FAILED
    with _pipeline(options) as pipeline:
        return predict(pipeline, inputs, options)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what to do with which inputs, wherever it is computed."""
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="image, directory of images, video, or URL"
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
    add_pipeline(parser)
    parser.add_argument(
        "--det_threshold",
        type=threshold,
        metavar="T",
        help="detector score that a person must exceed, 0 to 1 (default: the pipeline's)",
    )
    parser.add_argument(
        "--save_path",
        metavar="PATH",
        help="directory to save NAME_res.json and the picture NAME_res.* to, or one file .json, "
        ".jpg, ... (default: nothing is saved)",
    )
    parser.add_argument(
        "--draw",
        type=_drawables,
        default=(),
        metavar="WHAT",
        help=f"what pictures show besides the poses, of {', '.join(DRAWABLE)}: --draw boxes,scores",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per image and line"
    )
    add_device(parser)
    add_verbose(parser)


def predict(
    pipeline: HumanKeypointPipeline, inputs: Sequence[str], options: argparse.Namespace
) -> int:
    """Predict, print and save.

    Args:
        pipeline: Does the work.
        inputs: Paths and URLs.
        options: As ``add_options`` parses them.

    Returns:
        Exit status: 1 where an input failed.

    Raises:
        OSError: Results can't be written.
    """
    results = pipeline.predict(inputs, options.det_threshold, on_error="collect")
    output = Output(options.json, options.save_path, frozenset(options.draw))
    return write_results(results, output, inputs)


def _is_missing(path: str) -> bool:
    from tritonpose.inputs.kinds import is_url

    if is_url(path):
        return False
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        # Whatever is wrong with it will be told at its turn.
        return False
    return False


def _drawables(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    unknown = [word for word in words if word not in DRAWABLE]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} can't be drawn: choose of {', '.join(DRAWABLE)}"
        )
    return words


@contextmanager
def _pipeline(options: argparse.Namespace) -> Iterator[HumanKeypointPipeline]:
    """The pipeline: on the server that is named, else on one that runs as long as this."""
    if options.url is None:
        from tritonpose_server.cli.embedded_pipeline import embedded_pipeline

        with embedded_pipeline(options.pipeline, options.device, print_status) as pipeline:
            yield pipeline
        return
    from tritonpose.create import create_pipeline

    if options.device is not None:
        print_status(f"--device has no effect: the server at {options.url} has its own")
    with warnings.catch_warnings(record=True) as told:
        # Such as of a `model_dir` in the pipeline file, which only a server can convert.
        warnings.simplefilter("always")
        pipeline = create_pipeline(
            options.pipeline,
            device=options.device,
            url=options.url,
            **credentials(options, os.environ.get(API_KEY_VARIABLE) or None),
        )
    for warning in told:
        print_status(f"warning: {warning.message}")
    with pipeline:
        yield pipeline
