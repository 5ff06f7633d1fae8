"""The command ``scripts/evaluate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tritonpose
from tools.command import run_command, write_json
from tools.evaluation.agreement import load_saved_results
from tools.evaluation.coco import load_ground_truth
from tools.evaluation.evaluate import References, evaluate
from tools.evaluation.fast_decode import find_jpegs
from tools.evaluation.report import table
from tools.evaluation.server_facts import ask_server
from tools.evaluation.tracking.command import main as evaluate_tracking
from tools.evaluation.variants import Variant, pair_models, serve_variants
from tritonpose.cli.console import print_status
from tritonpose.config import PIPELINE_NAME, PipelineConfig, check_threshold
from tritonpose.transport import connect
from tritonpose.transport.connection import Connection

# Slow on a busy CPU: without a threshold, a detector finds a hundred people per image.
_TIMEOUT_SECONDS = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["tracking"]:
        return evaluate_tracking(given[1:])
    options = _parse(given)
    return run_command(lambda: _run(options))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate",
        description="Measure the quality of a server's answers: COCO scores of keypoints and "
        "boxes, agreement with results of PaddleX, and what fast decoding changes. Without --url, "
        "a server is started for the evaluation. `scripts/evaluate tracking --help` is about "
        "people over time.",
    )
    add = parser.add_argument
    add("--annotations", type=Path, metavar="JSON", help="COCO keypoint annotations")
    add("--golden", type=Path, metavar="DIR", help="directory that PaddleX's save_to_json wrote to")
    add(
        "--fast_decode",
        action="store_true",
        help="compare the people of all JPEGs with and without fast_decode",
    )
    add("--images", type=Path, metavar="DIR", required=True, help="directory of the images")
    add(
        "--image_prefix",
        default="",
        metavar="TEXT",
        help="text before the annotations' file_name in the images' paths",
    )
    add(
        "--det_threshold",
        type=float,
        metavar="T",
        help="threshold of the --golden results; default: the server's",
    )
    server = parser.add_mutually_exclusive_group()
    server.add_argument(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline to serve: its name, or a PaddleX pipeline YAML (default: %(default)s)",
    )
    server.add_argument(
        "--url",
        help="a running server, such as grpc://HOST:PORT, or several, separated by commas",
    )
    for name in ("detector", "keypoint_model"):
        add(
            f"--{name}",
            action="append",
            default=[],
            metavar="NAME",
            help="its name, or without --url its directory; can be repeated: one column each",
        )
    # Without these options, the pipeline decides.
    add("--flip", action="store_true", default=None, help="average with the mirrored crop")
    add("--use_udp", action="store_true", default=None, help="crop with unbiased data processing")
    add("--json", type=Path, metavar="FILE", help="write all figures to a file")
    options = parser.parse_args(arguments)
    if options.annotations is None and options.golden is None and not options.fast_decode:
        parser.error("give --annotations, --golden or --fast_decode")
    return options


def _run(options: argparse.Namespace) -> int:
    variants = pair_models(options.detector, options.keypoint_model, options.flip, options.use_udp)
    # All files are read before a server is started, so that errors show at once.
    references = _load_references(options)
    if options.url is not None:
        evaluations = _evaluate_all(options.url, variants, references)
    else:
        config = PipelineConfig.load(options.pipeline)
        with serve_variants(config, variants, print_status) as (url, served):
            evaluations = _evaluate_all(url, served, references)
    print(table(evaluations))
    write_json(options.json, {"tritonpose": tritonpose.__version__, "evaluations": evaluations})
    return 0


def _load_references(options: argparse.Namespace) -> References:
    truth = saved = None
    if options.annotations is not None:
        truth = load_ground_truth(options.annotations, options.images, options.image_prefix)
    if options.golden is not None:
        saved = load_saved_results(options.golden)
    threshold = check_threshold(options.det_threshold, "det_threshold")
    jpegs = find_jpegs(options.images) if options.fast_decode else None
    return References(truth, saved, options.images, threshold, jpegs)


def _evaluate_all(
    url: str, variants: Sequence[Variant], references: References
) -> list[dict[str, Any]]:
    transport = connect(url, _TIMEOUT_SECONDS)
    try:
        server = ask_server(Connection.from_options(url))
        evaluations = []
        for variant in variants:
            models = server.resolve(variant)
            print_status(f"evaluating {models.detector} with {models.keypoint_model}")
            evaluations.append(evaluate(transport, server, variant, references))
        return evaluations
    finally:
        transport.close()


if __name__ == "__main__":
    sys.exit(main())
