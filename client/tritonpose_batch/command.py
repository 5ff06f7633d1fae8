"""Run ``tritonpose batch``: offline jobs, from many images to Parquet and COCO files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.cli.console import FAILED, be_quiet, print_status
from tritonpose.cli.logs import log_to_stderr
from tritonpose.cli.parsing import (
    add_server,
    add_shared,
    check_server,
    command_parser,
    credentials,
    positive_seconds,
    warn_of_server_options,
    whole_number,
)
from tritonpose.cli.progress import ProgressBar
from tritonpose.extras import require_extra
from tritonpose.inputs.folders import describe

if TYPE_CHECKING:
    from tritonpose_batch.results import Counts
    from tritonpose_batch.run import JobResult

_DESCRIPTION = """\
Find people in many images and videos, on Ray: one Parquet row per image or frame, and a COCO file.
A bad input becomes a row with the error. Run the same command again to continue a stopped job."""
_EXAMPLES = """\
  tritonpose batch photos/ clips/*.mp4 --output poses
  tritonpose batch s3://bucket/photos --output poses --url grpc://a:8001,grpc://b:8001
  tritonpose batch list.csv --output /shared/poses --address ray-head:6379
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit status is 1 where an input failed."""
    parser = command_parser("batch", "INPUT ... --output DIR [options]", _DESCRIPTION, _EXAMPLES)
    _add_options(parser)
    # Intermixed: inputs may come before, between and after the flags.
    options = parser.parse_intermixed_args(arguments)
    check_server(parser, options)
    log_to_stderr(verbose=options.verbose)
    if options.quiet:
        be_quiet()
    # Before a job is begun: Ray is imported late.
    require_extra("batch", "ray", "pyarrow", "fsspec")
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from tritonpose_batch.job import JobOptions
    from tritonpose_batch.run import run_job

    if options.url is not None:
        _check_client(options)
    names = {field.name for field in fields(JobOptions)} & set(vars(options))
    job = JobOptions(
        **{name: getattr(options, name) for name in names}, connection=credentials(options)
    )
    with ProgressBar() as bar:

        def report(line: str) -> None:
            with bar.cleared():
                print_status(line)

        def progress(total: int | None, done: Counts) -> None:
            bar.show(done.rows, total, people=done.persons, errors=done.errors)

        result = run_job(options.inputs, options.output, job, report, progress)
    print_status(_summary(result, options.output))
    return FAILED if result.total.errors else 0


def _check_client(options: argparse.Namespace) -> None:
    """Validate URLs and files before starting, and warn about ignored options."""
    from tritonpose.create import create_async_pipeline

    create_async_pipeline(
        options.pipeline, url=options.url, timeout=options.timeout, **credentials(options)
    )
    warn_of_server_options(options, options.url, "device", "strict_models")


def _summary(result: JobResult, output: Path) -> str:
    total = result.total
    speed = "" if result.speed is None else f", {result.speed:.1f} images/s"
    besides = f"; passed over: {describe(result.passed_over)}" if result.passed_over else ""
    return (
        f"{total.images} images, {total.persons} people, {total.errors} errors{speed}; "
        f"saved to {output}{besides}"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image, video, directory, glob pattern, URL, address of an object store (s3://...), "
        "or a list of these: .txt, .csv, .jsonl, .parquet",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="directory for the results"
    )
    add_shared(parser, "pipeline", "det_threshold")
    add_server(
        parser,
        "servers to use, or `local:` for the workers themselves",
        "one is started on each node",
    )
    add_shared(parser, "device", "strict_models")
    parser.add_argument(
        "--address", metavar="ADDRESS", help="Ray cluster to use (default: Ray on this machine)"
    )
    parser.add_argument(
        "--workers",
        type=whole_number(),
        metavar="N",
        help="processes that read and send images (default: one per four cores of each node)",
    )
    parser.add_argument(
        "--max_in_flight",
        type=whole_number(),
        default=16,
        metavar="N",
        help="images in flight at once, per worker (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=60.0,
        metavar="S",
        help="seconds an image may take, waiting for a server included (default: %(default)g)",
    )
    parser.add_argument(
        "--shard_size",
        type=whole_number(),
        default=500,
        metavar="N",
        help="images per Parquet file; after a kill, unfinished files begin again (default: "
        "%(default)s)",
    )
    parser.add_argument("--no_coco", dest="coco", action="store_false", help="write no coco.json")
    add_shared(parser, "verbose", "quiet")
