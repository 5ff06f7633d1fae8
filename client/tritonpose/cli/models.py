"""``tritonpose models``: list, fetch, convert, install, vary and remove models."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tritonpose.errors import ConfigError


def register(commands: Any) -> None:
    """Add the subcommand to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "models", help="list, fetch, convert, install, vary and remove models"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="what is known and what is installed")
    listing.add_argument("--json", action="store_true", help="machine-readable, with full digests")
    listing.set_defaults(run=_guarded(_list))

    fetch = actions.add_parser("fetch", help="download PaddleX's models without installing them")
    fetch.add_argument("names", nargs="+", metavar="NAME")
    _add_lock(fetch)
    fetch.set_defaults(run=_guarded(_fetch))

    convert = actions.add_parser("convert", help="convert a model directory into a folder")
    convert.add_argument("directory", type=Path, metavar="DIR", help="Paddle or ONNX model")
    convert.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="where the leaf is put"
    )
    convert.set_defaults(run=_guarded(_convert))

    install = actions.add_parser("install", help="make a model servable, by name or from a folder")
    install.add_argument("model", metavar="NAME_OR_DIR")
    install.add_argument("--name", help="name to serve a folder's model under")
    _add_lock(install)
    install.set_defaults(run=_guarded(_install))

    variant = actions.add_parser(
        "variant", help="make a bf16 or INT8 variant of an installed model, NAME-PRECISION"
    )
    variant.add_argument("name", metavar="NAME")
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
    variant.set_defaults(run=_guarded(_variant))

    remove = actions.add_parser("remove", help="remove installed models")
    remove.add_argument("names", nargs="+", metavar="NAME")
    remove.set_defaults(run=_guarded(_remove))


def _add_lock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        help="file of checksums, recorded at the first fetch and checked ever after; commit it to "
        "pin what is fetched (default: one in the cache)",
    )


def _guarded(action: Any) -> Any:
    """Tell foreseen errors in one line."""

    def run(options: argparse.Namespace) -> int:
        from tritonpose_conversion.errors import ConversionError, FetchError

        try:
            action(options)
        except (ConversionError, FetchError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0

    return run


def _list(options: argparse.Namespace) -> None:
    from tritonpose_conversion import manage

    entries = manage.list_models(manage.default_store())
    if options.json:
        print(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    rows = [manage.as_row(entry) for entry in entries]
    columns = list(rows[0])
    widths = {
        column: max(len(row[column]) for row in [*rows, dict(zip(columns, columns, strict=True))])
        for column in columns
    }
    for row in [{column: column.upper() for column in columns}, *rows]:
        print("  ".join(row[column].ljust(widths[column]) for column in columns).rstrip())


def _fetch(options: argparse.Namespace) -> None:
    from tritonpose_conversion import manage

    for name in options.names:
        print(manage.fetch(name, _progress(), _lock(options)))


def _convert(options: argparse.Namespace) -> None:
    from tritonpose_conversion.paddle_model import install_paddle_model
    from tritonpose_conversion.store import LeafStore

    store = LeafStore(options.output)
    print(install_paddle_model(options.directory, None, store, progress=_progress().line))


def _install(options: argparse.Namespace) -> None:
    from tritonpose_conversion import manage

    leaf = manage.install(
        options.model, manage.default_store(), _progress(), _lock(options), name=options.name
    )
    print(f"installed {leaf.name}")


def _variant(options: argparse.Namespace) -> None:
    from tritonpose_conversion import manage
    from tritonpose_server.errors import ServerError
    from tritonpose_server.variants import make_variant

    try:
        leaf = make_variant(
            manage.default_store(),
            options.name,
            options.precision,
            options.calibration,
            _progress().line,
            options.detector,
        )
    except ServerError as error:
        raise ConfigError(str(error)) from error
    print(f"installed {leaf.name}")


def _remove(options: argparse.Namespace) -> None:
    from tritonpose_conversion import manage

    for name in options.names:
        manage.remove(name, manage.default_store())
        print(f"removed {name}")


def _progress() -> Any:
    from tritonpose_conversion.progress_bar import StreamProgress

    return StreamProgress()


def _lock(options: argparse.Namespace) -> Any:
    from tritonpose_conversion import manage
    from tritonpose_conversion.lock import ModelLock

    return ModelLock(options.lock) if options.lock else manage.default_lock()
