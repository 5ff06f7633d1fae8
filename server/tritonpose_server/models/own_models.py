"""Installs models of the user's own: directories, files, archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tritonpose_server.models.catalog import KNOWN_MODELS, Role
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.fetch.local_archive import is_archive, unpack_archive
from tritonpose_server.models.home import work_directory
from tritonpose_server.models.store import ModelStore, Progress


def install_own_model(
    place: Path,
    role: Role | None,
    store: ModelStore,
    *,
    progress: Progress = lambda _line: None,
    **options: Any,
) -> Path:
    """Install a model from its directory, its ONNX or Paddle file, or an archive of these.

    The options are those of `install_paddle_model`, and so are the errors.
    """
    # It takes long to import, and models that are installed need none of it.
    from tritonpose_server.models.paddle.install import install_paddle_model

    check_own_name(options.get("name"))
    if not is_archive(place):
        return install_paddle_model(place, role, store, progress=progress, **options)
    with work_directory() as work:
        unpack_archive(place, work)

        def in_archive(text: str) -> str:
            # The files are gone when the user reads this.
            return text.replace(f"{work}/", "").replace(str(work), str(place))

        try:
            return install_paddle_model(
                work,
                role,
                store,
                origin=place,
                progress=lambda line: progress(in_archive(line)),
                **options,
            )
        except ConversionError as error:
            raise ConversionError(f"{place}: {in_archive(str(error))}") from error


def check_own_name(name: str | None) -> None:
    """Raise `ConversionError` if a name is that of published weights, but for its case."""
    if name is None:
        return
    known = {known.casefold(): known for known in KNOWN_MODELS}.get(name.casefold())
    if known is not None:
        raise ConversionError(
            f"{name!r} is the name of published weights ({known}); choose another for your own "
            "model"
        )
