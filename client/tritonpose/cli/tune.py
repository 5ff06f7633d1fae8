"""``tritonpose tune``: find the fastest setting for a machine, its models and its images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tritonpose.cli.console import log_to_stderr, print_error, print_status
from tritonpose.cli.exit_status import FAILED, INTERRUPTED
from tritonpose.cli.parsing import add_device, add_pipeline, add_verbose, command_parser
from tritonpose.errors import ConfigError

_DESCRIPTION = """\
Find out how many threads, streams, processes and workers, and which batches, are fastest on this
machine: servers with different settings answer your images in turns. A change is kept where it is
faster by more than the measurements differ. Results stay the same. The machine should have nothing
else to do. Ctrl-C ends it with the best so far."""
_EXAMPLES = """\
  tritonpose tune --images photos/
  tritonpose tune --images photos/ --pipeline my_pipeline.yaml --seconds 600 --output fast.yaml
  tritonpose tune --images photos/ --concurrency 1         only the time of a single image counts
  tritonpose serve --tuning tuning.yaml
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Its command line.

    Returns:
        Exit status: 130 after Ctrl-C and 1 after a failure of the server, with a file of what was
        best so far.

    Raises:
        ConfigError: The pipeline's configuration, the device or the output is wrong.
        TritonPoseError: An image can't be used, or the server can't be started.
        OSError: The file can't be written.
    """
    parser = command_parser("tune", "--images PATH [options]", _DESCRIPTION, _EXAMPLES)
    _add_options(parser)
    options = parser.parse_args(arguments)
    log_to_stderr(verbose=options.verbose)
    output: Path = options.output
    # Not after minutes of measuring.
    if output.exists():
        raise ConfigError(f"{output} exists: name another --output, or remove it")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"--output: there is no directory {output.absolute().parent}")
    return _tune(options)


def _tune(options: argparse.Namespace) -> int:
    from tritonpose_server.device import Device
    from tritonpose_server.leaves.cores import available_cores
    from tritonpose_server.tuning import file, report
    from tritonpose_server.tuning.run import Job, tune

    job = Job(
        pipeline=options.pipeline,
        images=options.images,
        device=None if options.device is None else Device.parse(options.device),
        seconds=options.seconds,
        loads=options.concurrency,
    )
    outcome = tune(job, print_status, lambda trial: print_status(report.trial_line(trial)))
    header = report.file_header(outcome, job, available_cores(), options.output)
    file.save(options.output, outcome.best, header)
    print(report.table(outcome))
    print(f"\n{report.conclusion(outcome)}")
    print(f"written to {options.output}; use it: tritonpose serve --tuning {options.output}")
    if outcome.failure:
        print_error(outcome.failure)
        return FAILED
    return INTERRUPTED if outcome.interrupted else 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help="images and directories of images like those the server will get",
    )
    add_pipeline(parser)
    add_device(parser)
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=300.0,
        metavar="N",
        help="how long it may take, about (default: 300)",
    )
    parser.add_argument(
        "--concurrency",
        type=_loads,
        default=(1, 4, 16),
        metavar="N,...",
        help="images under way at a time; the geometric mean of their images per second is what "
        "counts (default: 1,4,16)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("tuning.yaml"),
        metavar="FILE",
        help="file to write; it must not exist (default: %(default)s)",
    )
    add_verbose(parser)


def _seconds(text: str) -> float:
    if not text.isdecimal() or not 1 <= int(text) <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: expected 1 to 86400 seconds")
    return float(text)


def _loads(text: str) -> tuple[int, ...]:
    # Far from the server's limit of requests in flight: nothing is to be refused.
    if not all(part.isdecimal() and 1 <= int(part) <= 64 for part in text.split(",")):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected numbers from 1 to 64, separated by commas"
        )
    return tuple(sorted({int(part) for part in text.split(",")}))
