"""The command ``scripts/benchmark``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.benchmark.outcome import Outcome
from tools.benchmark.plan import FULL, QUICK
from tools.benchmark.report.as_json import as_json
from tools.benchmark.report.grids import grids
from tools.benchmark.report.svg import chart
from tools.benchmark.report.text import as_markdown, as_text
from tools.benchmark.run import run_benchmark
from tools.benchmark.session import MEASUREMENTS
from tools.benchmark.workload import find_images
from tools.errors import BenchmarkError
from tools.evaluation.embedded_variants import with_models
from tools.evaluation.variant import Variant
from tools.sample_photo import sample_photo
from tritonpose.config import PIPELINE_NAME, PipelineConfig
from tritonpose.errors import TritonPoseError
from tritonpose_server.models.errors import ConversionError, FetchError

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        Exit status: 0 when all was measured and all answers agree, 1 otherwise.
    """
    options = _parse(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        outcome = _run(options)
        _report(outcome, options)
    except (BenchmarkError, TritonPoseError, ConversionError, FetchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    if not outcome.agrees:
        print("error: answers differ: see the table; the ratios say nothing", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark",
        description="Measure the speed of what is served, against the bare engine and, with "
        "--paddlex, against PaddleX, on the same images and cores, taking turns. All answers are "
        "compared, too.",
    )
    add = parser.add_argument
    add(
        "--paddlex",
        action="store_true",
        help="compare with PaddleX; its environment is made the first time (1.7 GB)",
    )
    add(
        "--images",
        type=Path,
        action="append",
        metavar="PATH",
        help="image or directory of images, also several times; default: a sample photo",
    )
    add(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline to run: its name, or a PaddleX pipeline YAML (default: %(default)s)",
    )
    for name in ("detector", "keypoint_model"):
        add(f"--{name}", metavar="NAME", help="instead of the pipeline's: a name or a directory")
    add(
        "--only",
        type=_names,
        default=MEASUREMENTS,
        metavar="NAMES",
        help=f"some of {','.join(MEASUREMENTS)}",
    )
    add("--quick", action="store_true", help="a few samples: to see that it works")
    for name, what in (
        ("json", "all figures"),
        ("markdown", "the tables"),
        ("svg", "a chart of the ratios"),
    ):
        add(f"--{name}", type=Path, metavar="FILE", help=f"write {what} there, too")
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: expected some of {','.join(MEASUREMENTS)}"
        )
    return names


def _run(options: argparse.Namespace) -> Outcome:
    plan = QUICK if options.quick else FULL
    variant = Variant(options.detector, options.keypoint_model)
    config = with_models(PipelineConfig.load(options.pipeline), variant)
    places = options.images or [sample_photo(_tell)]
    return run_benchmark(
        config,
        find_images(places, plan.images),
        plan,
        options.only,
        with_paddlex=options.paddlex,
        progress=_tell,
    )


def _report(outcome: Outcome, options: argparse.Namespace) -> None:
    tables = grids(outcome)
    print(as_text(tables))
    if options.json is not None:
        _write(options.json, json.dumps(as_json(outcome), indent=2) + "\n")
    if options.markdown is not None:
        _write(options.markdown, as_markdown(tables))
    if options.svg is not None:
        _write(options.svg, chart(outcome))


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, "utf-8")
    except OSError as error:
        raise BenchmarkError(f"can't write {path}: {error.strerror}") from error


def _tell(line: str) -> None:
    """Tell the user what is going on, apart from the results."""
    print(f"[tritonpose] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
