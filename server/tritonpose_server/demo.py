"""The demo: models, embedded server, a few images, and the server is gone again."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tritonpose.config import PIPELINE_NAME, PipelineConfig
from tritonpose.create import create_pipeline
from tritonpose.errors import TritonPoseError
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose_conversion.errors import ConversionError
from tritonpose_conversion.npm_package import FetchError
from tritonpose_server.embedded import EmbeddedServer
from tritonpose_server.errors import ServerError
from tritonpose_server.model_choice import choose_models
from tritonpose_server.sample_photo import sample_photo

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        Exit status: 0 when all went well, 1 when an input or the set-up failed.
    """
    options = _parse(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    if options.verbose:
        logging.getLogger("tritonpose").setLevel(logging.DEBUG)
    try:
        return _run(options)
    except (TritonPoseError, ServerError, ConversionError, FetchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Find people and their keypoints in images, served by a real Triton server "
        "that runs for the demo only. Prints the results and saves them as JSON and picture.",
    )
    parser.add_argument("input", nargs="*", help="images or directories; default: a sample photo")
    parser.add_argument(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline name, or a PaddleX pipeline YAML (default: %(default)s)",
    )
    parser.add_argument(
        "--det_threshold", type=float, metavar="T", help="detector score threshold, 0 to 1"
    )
    parser.add_argument(
        "--save_path",
        default="output",
        metavar="DIR",
        help="where results are saved (default: ./%(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="show the server's log")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    config = PipelineConfig.load(options.pipeline)
    choice = choose_models(config, _report)
    inputs = options.input or [str(sample_photo(_report))]
    _report("starting Triton")
    started = time.monotonic()
    with EmbeddedServer(choice.leaves, choice.settings) as server:
        _report(f"Triton is ready after {time.monotonic() - started:.1f} s at {server.grpc_url}")
        # The server's defaults are those of the configuration: nothing is left to request.
        with create_pipeline(PIPELINE_NAME, url=server.grpc_url) as pipeline:
            return _predict(pipeline, inputs, options.det_threshold, Path(options.save_path))


def _predict(
    pipeline: HumanKeypointPipeline, inputs: list[str], threshold: float | None, target: Path
) -> int:
    failed = images = persons = 0
    started = time.monotonic()
    for result in pipeline.predict(inputs, threshold, on_error="collect"):
        if result.error is not None:
            failed += 1
            print(f"error: {result.error}", file=sys.stderr)
            continue
        images += 1
        persons += len(result["boxes"])
        result.print()
        result.save_to_json(str(target))
        result.save_to_img(str(target))
    seconds = time.monotonic() - started
    _report(
        f"{persons} person(s) in {images} image(s), {seconds:.2f} s with drawing and saving; "
        f"results are in {target}"
    )
    return 1 if failed else 0


def _report(line: str) -> None:
    """Tell the user what is going on, apart from the results."""
    print(f"[tritonpose] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
