"""Run ``tritonpose models``: list, fetch, convert, install, vary, export and remove models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.cli.console import be_quiet, print_status
from tritonpose.cli.parsing import add_shared, classes, command_parser

if TYPE_CHECKING:
    from tritonpose_server.models.store import ModelStore

_DESCRIPTION = """\
Manage the models that a server on this machine can serve. `tritonpose predict` and `tritonpose
serve` fetch and convert the models of their pipeline by themselves."""
_COLUMNS = ("NAME", "ROLE", "INSTALLED", "SIZE", "ACCURACY", "BACKENDS", "SHA256", "SOURCE")
_EXAMPLES = """\
  tritonpose models list
  tritonpose models install PP-TinyPose_256x192
  tritonpose models install path/to/model --name my-model
  tritonpose models install path/to/model.onnx
  tritonpose models install exported.tar.gz
  tritonpose models variant my-model --precision int8 --calibration photos/
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status. TritonPoseError if the action is not possible."""
    parser = command_parser("models", "ACTION ...", _DESCRIPTION, _EXAMPLES)
    _add_actions(parser)
    options = parser.parse_args(arguments)
    if options.quiet:
        be_quiet()
    _run(options)
    return 0


def _add_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(
        dest="action",
        required=True,
        metavar="ACTION",
        title="actions",
        description="see `tritonpose models ACTION --help` for their options",
        prog="tritonpose models",
    )

    def add(name: str, purpose: str) -> argparse.ArgumentParser:
        action = actions.add_parser(
            name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."
        )
        add_shared(action, "quiet")
        return action

    listing = add("list", "show the models that are known and those installed")
    listing.add_argument("--json", action="store_true", help="print JSON, with full digests")

    fetch = add("fetch", "download models of PaddleX without installing them")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="such as PP-YOLOE-S_human")

    convert = add("convert", "convert a model directory into a folder for Triton")
    convert.add_argument("directory", type=Path, metavar="PATH", help="Paddle or ONNX model")
    convert.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to put the folder (default: here)",
    )

    install = add("install", "make a model servable, by name or from a directory")
    install.add_argument(
        "model",
        metavar="NAME_OR_PATH",
        help="a known model; or a directory with a Paddle or an ONNX model, an .onnx file, or an "
        "archive",
    )
    install.add_argument("--name", help="name to serve a model of your own under")
    for action in (convert, install):
        action.add_argument(
            "--classes",
            type=classes,
            metavar="CLASS,...",
            help="classes of your detector that count, labels or ids (default: persons)",
        )
        action.add_argument(
            "--flip_shift",
            type=_yes_or_no,
            metavar="yes|no",
            help="whether mirrored heatmaps of your keypoint model are shifted by a pixel, as "
            "PP-TinyPose's are (default: by its name, else by its kind)",
        )

    for action in (fetch, install):
        action.add_argument(
            "--lock",
            type=Path,
            metavar="FILE",
            help="file of checksums, recorded at the first fetch and checked at every later one; "
            "commit it to pin downloads (default: one in the cache)",
        )

    variant = add("variant", "make a bf16 or INT8 variant of an installed model")
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
        "--detector", metavar="NAME", help="finds the people in them, for a keypoint model"
    )

    export = add("export", "write a model repository for a Triton of your own")
    export.add_argument("directory", type=Path, metavar="DIR", help="the model repository")
    add_shared(export, "pipeline", "strict_models")

    remove = add("remove", "remove installed models")
    remove.add_argument("names", nargs="+", metavar="NAME", help="as in `tritonpose models list`")


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text.lower() == "yes"


def _run(options: argparse.Namespace) -> None:
    from tritonpose_server.models import commands
    from tritonpose_server.models.fetch.lock import ModelLock
    from tritonpose_server.models.store import ModelStore

    store = commands.default_store()
    path = getattr(options, "lock", None)
    lock = commands.default_lock() if path is None else ModelLock(path)
    match options.action:
        case "list":
            _list(store, as_json=options.json)
        case "fetch":
            for name in options.names:
                print(commands.fetch(name, print_status, lock))
        case "convert":
            from tritonpose_server.models.own_models import install_own_model

            target = ModelStore(options.output)
            print(
                install_own_model(
                    options.directory,
                    None,
                    target,
                    classes=options.classes,
                    flip_shift=options.flip_shift,
                    progress=print_status,
                )
            )
        case "install":
            model = commands.install(
                options.model,
                store,
                print_status,
                lock,
                name=options.name,
                classes=options.classes,
                flip_shift=options.flip_shift,
            )
            print(f"installed {model.name}")
        case "variant":
            from tritonpose_server.models.precision import make_variant

            model = make_variant(
                store,
                options.name,
                options.precision,
                options.calibration,
                print_status,
                options.detector,
            )
            print(f"installed {model.name}")
        case "export":
            _export(options)
        case "remove":
            for name in options.names:
                store.remove(name)
                print(f"removed {name}")


def _list(store: ModelStore, *, as_json: bool) -> None:
    from tabulate import tabulate

    from tritonpose_server.models import commands
    from tritonpose_server.models.choice import local_stand_ins

    entries = commands.list_models(store)
    stand_ins = local_stand_ins(store)
    if as_json:
        facts = [{**asdict(entry), "stand_in": stand_ins.get(entry.name)} for entry in entries]
        print(json.dumps(facts, indent=2))
        return
    rows = [
        (
            entry.name,
            entry.role,
            "yes" if entry.installed else "no",
            "" if entry.size_mb is None else f"{entry.size_mb:.1f} MB",
            entry.accuracy,
            ",".join(entry.backends),
            entry.sha256[:12],
            entry.source,
        )
        for entry in entries
    ]
    print(tabulate(rows, _COLUMNS, tablefmt="plain", disable_numparse=True))
    for name, stand_in in stand_ins.items():
        print(f"{stand_in} stands in for {name} as long as that can't be fetched")


def _export(options: argparse.Namespace) -> None:
    from tritonpose.config import PipelineConfig
    from tritonpose_server.models.choice import choose_models
    from tritonpose_server.models.export import CPU_CONFIG, export_repository

    config = PipelineConfig.load(options.pipeline)
    choice = choose_models(config, print_status, strict=options.strict_models)
    export_repository(options.directory, choice.models, choice.settings)
    print(f"exported {options.directory}; serve it with --model-config-name={CPU_CONFIG}")
