"""The command ``scripts/benchmark``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.benchmark.cameras import cameras_text, measure_cameras
from tools.benchmark.pipeline_alone import PIPELINE_ALONE, measure_pipeline
from tools.benchmark.report import as_markdown, as_text
from tools.benchmark.run import MEASUREMENTS, run_benchmark
from tools.benchmark.workload import FULL, QUICK, find_images
from tools.command import run_command, write_json
from tools.errors import ToolError
from tools.evaluation.variants import Variant, with_models
from tools.sample_photo import sample_photo
from tritonpose.cli.console import print_status
from tritonpose.cli.parsing import choices
from tritonpose.config import PIPELINE_NAME, PipelineConfig

CAMERAS = "cameras"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = _parse(arguments)
    return run_command(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark",
        description="Measure the speed of the server, compared with the bare engine and, with "
        "--paddlex, with PaddleX, on the same images and cores, alternately. All answers are "
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
        help="image or directory of images; can be repeated; default: a sample photo",
    )
    add(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline to run: its name, or a PaddleX pipeline YAML (default: %(default)s)",
    )
    for name in ("detector", "keypoint_model"):
        add(f"--{name}", metavar="NAME", help="replace the pipeline's: a name or a directory")
    add(
        "--only",
        type=choices((*MEASUREMENTS, CAMERAS, PIPELINE_ALONE)),
        default=MEASUREMENTS,
        metavar="NAMES",
        help=f"measure only some of {','.join(MEASUREMENTS)}; or {CAMERAS}: eight cameras at once, "
        f"for five minutes; or {PIPELINE_ALONE}: its own cost, with models that answer at once or "
        "wait",
    )
    add("--quick", action="store_true", help="measure little, to see that everything works")
    add("--json", type=Path, metavar="FILE", help="write all figures to a file")
    add("--markdown", type=Path, metavar="FILE", help="write the tables to a file")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    # Checked before anything is measured.
    alone = {CAMERAS, PIPELINE_ALONE}.intersection(options.only)
    if alone and len(options.only) > 1:
        raise ToolError(f"--only {', '.join(sorted(alone))}: measured by itself, without others")
    if alone and options.paddlex:
        raise ToolError(f"--only {alone.pop()} compares nothing with PaddleX: omit --paddlex")
    if CAMERAS in alone and options.markdown is not None:
        raise ToolError(f"--only {CAMERAS} makes no tables: omit --markdown")
    plan = QUICK if options.quick else FULL
    variant = Variant(options.detector, options.keypoint_model)
    config = with_models(PipelineConfig.load(options.pipeline), variant)
    images = find_images(options.images or [sample_photo(print_status)], plan.images)
    if CAMERAS in options.only:
        runs = measure_cameras(config, images[0], print_status, quick=options.quick)
        print(cameras_text(runs))
        write_json(options.json, {CAMERAS: runs})
        return 0
    if PIPELINE_ALONE in options.only:
        report = {PIPELINE_ALONE: measure_pipeline(config, images, plan, print_status)}
    else:
        report = run_benchmark(
            config,
            images,
            plan,
            options.only,
            with_paddlex=options.paddlex,
            progress=print_status,
        )
    print(as_text(report))
    write_json(options.json, report)
    if options.markdown is not None:
        options.markdown.write_text(as_markdown(report), "utf-8")
    if alone:
        return 0
    if not report["agreement"]["all_agree"]:
        raise ToolError("answers differ: see the table; the ratios mean nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
