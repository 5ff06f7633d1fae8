"""The command ``scripts/build_engines``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tritonpose.cli.console import exit_status, print_status
from tritonpose_server.models import commands as manage
from tritonpose_server.models.open_models.catalog import (
    DEFAULT_DETECTOR,
    DEFAULT_KEYPOINT_MODEL,
    OPEN_MODELS,
)
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.store import cache_home
from tritonpose_server.models.tensorrt.build import EngineOptions, build_engine, require_builder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        Exit status, see ``tritonpose.cli.console``.
    """
    options = _parser().parse_args(arguments)
    return exit_status(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/build_engines",
        description="Build TensorRT engines of installed models, on the kind of GPU and with the "
        "version of TensorRT that are to run them.",
    )
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="NAME",
        default=[DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL],
        help="models, as `tritonpose models list` says (default: the open ones)",
    )
    add("--precision", choices=("fp16", "fp32", "int8"), default="fp16", help="(default: fp16)")
    add(
        "--calibration",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="for int8: photos like those to be served, files or directories",
    )
    add("--detector", metavar="NAME", help="finds the persons in them, for a keypoint model")
    add(
        "--max_batch",
        type=_positive,
        metavar="N",
        help="largest batch (default: the model's, which is also the smallest that is possible)",
    )
    add(
        "--workspace",
        type=_positive,
        metavar="MIB",
        help="GPU memory that a layer may take while computing (default: all)",
    )
    add("--gpu", type=_number, default=0, metavar="N", help="GPU to build on (default: 0)")
    return parser


def _run(options: argparse.Namespace) -> int:
    require_builder(options.gpu)
    store = manage.default_store()
    open_names = [name for name in options.names if name in OPEN_MODELS]
    install_open_models(open_names, cache_home() / "downloads", store, print_status)
    engine = EngineOptions(
        precision=options.precision,
        calibration=options.calibration,
        detector=options.detector,
        max_batch=options.max_batch,
        workspace_mib=options.workspace,
        gpu=options.gpu,
    )
    for name in options.names:
        print(build_engine(store, name, engine, print_status))
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a GPU, from 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
