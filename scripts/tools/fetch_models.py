"""Put the weights of PaddleX's models into ``model_repository``, for a Triton of one's own."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tritonpose.cli.console import exit_status, print_status
from tritonpose.whole_files import whole_file
from tritonpose_server.embedded import resources
from tritonpose_server.models import commands
from tritonpose_server.models.catalog import PADDLEX_MODELS
from tritonpose_server.models.errors import ConversionError, FetchError
from tritonpose_server.models.fetch.archive import unpack_model
from tritonpose_server.models.fetch.sources import MIRROR_VARIABLE
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch models."""
    parser = argparse.ArgumentParser(
        prog="scripts/fetch_models",
        description="Fetch PaddleX's models, convert them and put them into the folders of their "
        "names in the model repository, so that a Triton of your own can serve it.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"models to fetch, of {', '.join(PADDLEX_MODELS)} (default: all)",
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="take them from this directory, which has directories NAME or archives "
        "NAME_infer.tar*, as PaddleX publishes them",
    )
    parser.add_argument(
        "--repository",
        type=Path,
        default=resources.model_repository(),
        metavar="DIR",
        help="the model repository (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    names = options.names or list(PADDLEX_MODELS)
    for name in names:
        if name not in PADDLEX_MODELS:
            raise ConversionError(
                f"{name!r} is not a model of PaddleX's: choose from {', '.join(PADDLEX_MODELS)}. "
                "`tritonpose models export DIR` writes a repository with any other model"
            )
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            directory = _model_directory(name, options.source, Path(folder) / "source")
            store = ModelStore(Path(folder) / "converted")
            converted = install_paddle_model(
                directory, PADDLEX_MODELS[name].role, store, name=name, progress=print_status
            )
            print(put_weights(converted, options.repository / name))
    return 0


def put_weights(converted: Path, model: Path) -> Path:
    """Put the weights of a converted model into its folder of a model repository."""
    for config in ("config.pbtxt", "configs/onnxruntime.pbtxt"):
        here = model / config
        if not here.is_file() or here.read_text("utf-8") != (converted / config).read_text("utf-8"):
            raise ConversionError(
                f"{here} is not what conversion writes for this model: PaddleX publishes other "
                "weights, or the file was edited. `tritonpose models convert DIR` writes a folder "
                "of its own"
            )
    weights = model / "1" / "model.onnx"
    # Whole: a running server sees the old weights or the new ones.
    with (converted / "1" / "model.onnx").open("rb") as source, whole_file(weights) as file:
        shutil.copyfileobj(source, file)
    return weights


def _model_directory(name: str, source: Path | None, target: Path) -> Path:
    """Find a model as PaddleX publishes it, where the user says or where PaddleX does."""
    if source is None:
        try:
            return commands.fetch(name, print_status, commands.default_lock())
        except FetchError as error:
            raise FetchError(
                f"{error}\nFetch the archives on another machine and pass their directory as "
                f"--from, or name a mirror in ${MIRROR_VARIABLE}. Open models don't take these "
                "names: `tritonpose models export DIR` writes a repository with them"
            ) from error
    if (source / name).is_dir():
        return source / name
    archives = sorted(source.glob(f"{name}_infer.tar*"))
    if not archives:
        raise FetchError(f"{source} has neither a directory {name} nor an archive {name}_infer.tar")
    target.mkdir()
    unpack_model(archives[0], target)
    return target


if __name__ == "__main__":
    sys.exit(main())
