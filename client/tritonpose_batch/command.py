"""``tritonpose batch``: offline jobs, from many images to Parquet and COCO files."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.cli.console import log_to_stderr, print_error, print_status
from tritonpose.cli.credentials import add_credentials, credentials
from tritonpose.cli.exit_status import FAILED
from tritonpose.cli.parsing import (
    API_KEY_VARIABLE,
    add_device,
    add_pipeline,
    add_verbose,
    command_parser,
    positive_seconds,
    threshold,
)

if TYPE_CHECKING:
    from tritonpose.transport.connection import ConnectionOptions
    from tritonpose_batch.part import Counts
    from tritonpose_batch.run import Outcome

_DESCRIPTION = """\
Find people in many images and videos, on Ray: one Parquet row per image or frame, and a COCO file.
A bad input becomes a row that says why. A job that was stopped goes on when it is run again."""
_EXAMPLES = """\
  tritonpose batch photos/ clips/*.mp4 --output poses
  tritonpose batch s3://bucket/photos --output poses --url grpc://a:8001,grpc://b:8001
  tritonpose batch list.csv --output /shared/poses --address ray-head:6379
"""
_NEEDED = ("ray", "pyarrow", "fsspec")


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Its command line.

    Returns:
        Exit status: 1 where an input failed.

    Raises:
        ConfigError: The configuration or the URL is wrong, or another job was begun there.
        TritonPoseError: An input does not exist, or servers or Ray can't be used.
        OSError: Results can't be written.
    """
    parser = command_parser("batch", "INPUT ... --output DIR [options]", _DESCRIPTION, _EXAMPLES)
    _add_options(parser)
    # Intermixed: inputs may come before, between and after the flags.
    options = parser.parse_intermixed_args(arguments)
    if options.url is None and (unused := [f"--{name}" for name in credentials(options)]):
        parser.error(f"{', '.join(unused)} without --url: there is no server to show them to")
    log_to_stderr(verbose=options.verbose)
    if not all(map(find_spec, _NEEDED)):
        print_error("batch needs more than the client: pip install 'tritonpose[batch]'")
        return FAILED
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from tritonpose_batch.run import Options, run_job

    if options.url is not None:
        _check_client(options)
    job = Options(
        pipeline=options.pipeline,
        det_threshold=options.det_threshold,
        shard_size=options.shard_size,
        url=options.url,
        connection=_connection(options),
        device=options.device,
        address=options.address,
        workers=options.workers,
        max_in_flight=options.max_in_flight,
        timeout=options.timeout,
        coco=not options.no_coco,
    )
    with _Bar() as bar:
        outcome = run_job(options.inputs, options.output, job, bar.report, bar.progress)
    print_status(_summary(outcome, options.output))
    return FAILED if outcome.total.errors else 0


def _check_client(options: argparse.Namespace) -> None:
    """Have wrong URLs and files told before anything is started, and what has no effect."""
    from tritonpose.create import create_async_pipeline

    if options.device is not None:
        print_status(f"--device has no effect: the server at {options.url} has its own")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        create_async_pipeline(
            options.pipeline, url=options.url, timeout=options.timeout, **_connection(options)
        )
    for warning in told:
        print_status(f"warning: {warning.message}")


def _connection(options: argparse.Namespace) -> ConnectionOptions:
    return credentials(options, os.environ.get(API_KEY_VARIABLE) or None)


def _summary(outcome: Outcome, output: Path) -> str:
    total = outcome.total
    speed = "" if outcome.speed is None else f", {outcome.speed:.1f} images/s"
    return (
        f"{total.images} images, {total.persons} persons, {total.errors} errors{speed}; "
        f"saved to {output}"
    )


class _Bar:
    """A progress bar on standard error, where somebody looks at it."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm(
            unit="image", file=sys.stderr, dynamic_ncols=True, disable=not sys.stderr.isatty()
        )

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._tqdm.close()

    def report(self, line: str) -> None:
        """Print a line, out of the bar's way."""
        with self._tqdm.external_write_mode(file=sys.stderr):
            print_status(line)

    def progress(self, total: int | None, done: Counts) -> None:
        """Show how far the job is."""
        bar = self._tqdm
        if bar.total is None and total is not None:
            # What earlier runs did doesn't count for the speed.
            bar.reset(total)
            bar.initial = bar.n = done.rows
        bar.set_postfix(persons=done.persons, errors=done.errors, refresh=False)
        bar.update(done.rows - bar.n)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image, video, directory, glob pattern, URL, address of an object store (s3://...), "
        "or a list of those: .txt, .csv, .jsonl, .parquet",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="directory of the results"
    )
    add_pipeline(parser)
    parser.add_argument(
        "--det_threshold",
        type=threshold,
        metavar="T",
        help="detector score that a person must exceed, 0 to 1 (default: the pipeline's)",
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("TRITONPOSE_URL") or None,
        metavar="URL",
        help="servers to use instead of starting one per node, separated by commas (default: "
        "$TRITONPOSE_URL)",
    )
    add_device(parser)
    parser.add_argument(
        "--address", metavar="ADDRESS", help="Ray cluster to use (default: Ray on this machine)"
    )
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes that read and send images (default: one per four cores of each node)",
    )
    parser.add_argument(
        "--max_in_flight",
        type=_count,
        default=16,
        metavar="N",
        help="images under way at once, per worker (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=60.0,
        metavar="S",
        help="seconds an image may take, waiting for servers included (default: %(default)g)",
    )
    parser.add_argument(
        "--shard_size",
        type=_count,
        default=500,
        metavar="N",
        help="images per Parquet file, which are done again if a run is killed (default: "
        "%(default)s)",
    )
    add_credentials(parser)
    parser.add_argument("--no_coco", action="store_true", help="write no coco.json")
    add_verbose(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)
