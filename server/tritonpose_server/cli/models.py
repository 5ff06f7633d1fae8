"""``tritonpose models``: list, fetch, convert, install, vary, export and remove models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tritonpose.cli.console import print_status
from tritonpose.cli.parsing import add_shared, command_parser

_DESCRIPTION = """\
The models that a server of this machine can serve. `tritonpose predict` and `tritonpose serve`
fetch and convert what their pipeline names by themselves."""
_EXAMPLES = """\
  tritonpose models list
  tritonpose models install PP-TinyPose_256x192
  tritonpose models install path/to/model --name my-model
  tritonpose models variant my-model --precision int8 --calibration photos/
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Its command line.

    Returns:
        Exit status.

    Raises:
        TritonPoseError: What is asked for is not possible.
    """
    parser = command_parser("models", "ACTION ...", _DESCRIPTION, _EXAMPLES)
    _add_actions(parser)
    options = parser.parse_args(arguments)
    options.run(options)
    return 0


def _add_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(
        dest="action",
        required=True,
        metavar="ACTION",
        title="actions",
        description="`tritonpose models ACTION --help` tells their options",
        prog="tritonpose models",
    )

    def add(name: str, run: Callable[[argparse.Namespace], None], purpose: str) -> Any:
        action = actions.add_parser(name, help=purpose, description=f"To {purpose}.")
        action.set_defaults(run=run)
        return action

    listing = add("list", _list, "show what is known and what is installed")
    listing.add_argument("--json", action="store_true", help="machine-readable, with full digests")

    fetch = add("fetch", _fetch, "download models of PaddleX without installing them")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="such as PP-YOLOE-S_human")
    _add_lock(fetch)

    convert = add("convert", _convert, "convert a model directory into a folder for Triton")
    convert.add_argument("directory", type=Path, metavar="DIR", help="Paddle or ONNX model")
    convert.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where the folder is put (default: here)",
    )

    install = add("install", _install, "make a model servable, by name or from a directory")
    install.add_argument(
        "model",
        metavar="NAME_OR_DIR",
        help="a known model, or a directory with a Paddle or an ONNX model",
    )
    install.add_argument("--name", help="name to serve a directory's model under")
    _add_lock(install)

    variant = add("variant", _variant, "make a bf16 or INT8 variant of an installed model")
    variant.add_argument("name", metavar="NAME", help="the model; its variant is NAME-PRECISION")
    variant.add_argument("--precision", choices=("bf16", "int8"), required=True)
    variant.add_argument(
        "--calibration",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="for int8: photos like those to be served, files or directories",
    )
    variant.add_argument(
        "--detector", metavar="NAME", help="finds the persons in them, for a keypoint model"
    )

    export = add("export", _export, "write a model repository for a Triton of your own")
    export.add_argument("directory", type=Path, metavar="DIR", help="the model repository")
    add_shared(export, "pipeline")

    remove = add("remove", _remove, "remove installed models")
    remove.add_argument("names", nargs="+", metavar="NAME", help="as `tritonpose models list` says")


def _add_lock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        help="file of checksums, recorded at the first fetch and checked ever after; commit it to "
        "pin what is fetched (default: one in the cache)",
    )


def _list(options: argparse.Namespace) -> None:
    from tritonpose_server.models import commands as manage
    from tritonpose_server.models.choice import local_stand_ins

    store = manage.default_store()
    entries = manage.list_models(store)
    stand_ins = local_stand_ins(store)
    if options.json:
        facts = [{**asdict(entry), "stand_in": stand_ins.get(entry.name)} for entry in entries]
        print(json.dumps(facts, indent=2))
        return
    rows = [manage.as_row(entry) for entry in entries]
    columns = list(rows[0])
    widths = {
        column: max(len(row[column]) for row in [*rows, dict(zip(columns, columns, strict=True))])
        for column in columns
    }
    for row in [{column: column.upper() for column in columns}, *rows]:
        print("  ".join(row[column].ljust(widths[column]) for column in columns).rstrip())
    for name, stand_in in stand_ins.items():
        print(f"{stand_in} stands in for {name} unless a server can fetch that")


def _fetch(options: argparse.Namespace) -> None:
    from tritonpose_server.models import commands as manage

    for name in options.names:
        print(manage.fetch(name, print_status, _lock(options)))


def _convert(options: argparse.Namespace) -> None:
    from tritonpose_server.models.paddle.model import install_paddle_model
    from tritonpose_server.models.store import ModelStore

    store = ModelStore(options.output)
    print(install_paddle_model(options.directory, None, store, progress=print_status))


def _install(options: argparse.Namespace) -> None:
    from tritonpose_server.models import commands as manage

    servable = manage.install(
        options.model, manage.default_store(), print_status, _lock(options), name=options.name
    )
    print(f"installed {servable.name}")


def _variant(options: argparse.Namespace) -> None:
    from tritonpose_server.models import commands as manage
    from tritonpose_server.models.variants import make_variant

    model = make_variant(
        manage.default_store(),
        options.name,
        options.precision,
        options.calibration,
        print_status,
        options.detector,
    )
    print(f"installed {model.name}")


def _export(options: argparse.Namespace) -> None:
    from tritonpose.config import PipelineConfig
    from tritonpose_server.models.choice import choose_models
    from tritonpose_server.models.export import CPU_CONFIG, export_repository

    choice = choose_models(PipelineConfig.load(options.pipeline), print_status)
    export_repository(options.directory, choice.models, choice.settings)
    print(f"exported {options.directory}; serve it with --model-config-name={CPU_CONFIG}")


def _remove(options: argparse.Namespace) -> None:
    from tritonpose_server.models import commands as manage

    for name in options.names:
        manage.default_store().remove(name)
        print(f"removed {name}")


def _lock(options: argparse.Namespace) -> Any:
    from tritonpose_server.models import commands as manage
    from tritonpose_server.models.fetch.lock import ModelLock

    return ModelLock(options.lock) if options.lock else manage.default_lock()
