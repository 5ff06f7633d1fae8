"""What ``tritonpose models`` does: list, fetch and install models by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonpose_pipeline.repository import CONFIG_FILE
from tritonpose_server.models.catalog import KNOWN_MODELS, OPEN_MODELS, PADDLEX_MODELS
from tritonpose_server.models.errors import ConversionError, HomeError
from tritonpose_server.models.fetch.local_archive import is_archive
from tritonpose_server.models.fetch.lock import ModelLock
from tritonpose_server.models.fetch.sources import ModelSource, fetch_model
from tritonpose_server.models.home import cache_home, explained_errors, writable_directory
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.own_models import install_own_model
from tritonpose_server.models.paddle.files import MODEL_SUFFIXES
from tritonpose_server.models.store import ModelStore, Progress, file_sha256, installed_config

# Of the largest published archive, with what it holds.
_ARCHIVE_BYTES = 500 << 20


@dataclass(frozen=True)
class ModelEntry:
    """A model that is known or installed.

    ``size_mb`` is of the installed ONNX file, else as published, None where unknown; ``sha256`` is
    empty where it is not installed or was not asked for, ``accuracy`` where it is not published.
    """

    name: str
    role: str
    installed: bool
    source: str
    accuracy: str = ""
    size_mb: float | None = None
    sha256: str = ""
    backends: tuple[str, ...] = ()


def default_store() -> ModelStore:
    """Return the user's store of models."""
    models = cache_home() / "models"
    with explained_errors(models):
        if models.exists():
            next(models.iterdir(), None)
    return ModelStore(models)


def default_lock() -> ModelLock:
    """Return the user's lock file."""
    return ModelLock(cache_home() / "models.lock.json")


def list_models(store: ModelStore) -> list[ModelEntry]:
    """List the installed models and the known models that are not installed."""
    entries = [installed_entry(store, name) for name in store.names()]
    installed = {entry.name for entry in entries}
    for name, model in KNOWN_MODELS.items():
        if name in installed:
            continue
        source = "open model" if name in OPEN_MODELS else "PaddleX"
        entries.append(ModelEntry(name, model.role, False, source, model.accuracy, model.size_mb))
    return sorted(entries, key=lambda entry: (not entry.installed, entry.role, entry.name))


def fetch(
    name: str,
    progress: Progress,
    lock: ModelLock,
    *,
    sources: Sequence[ModelSource] | None = None,
) -> Path:
    """Fetch one of PaddleX's models, as PaddleX publishes it, unless it is there already.

    An unknown name is a `ConversionError`; that no source has it, a `FetchError`.
    """
    if name not in PADDLEX_MODELS:
        raise ConversionError(f"no model {name!r} is known; known: {', '.join(PADDLEX_MODELS)}")
    directory = cache_home() / "archives" / name
    if directory.is_dir():
        lock.verify_files(name, directory, progress)
    else:
        writable_directory(directory.parent, _ARCHIVE_BYTES)
        source = fetch_model(name, directory, sources=sources, lock=lock, progress=progress)
        progress(f"{name}: fetched from {source.title}")
    return directory


def install(
    what: str,
    store: ModelStore,
    progress: Progress,
    lock: ModelLock,
    *,
    name: str | None = None,
    classes: tuple[str, ...] | None = None,
    flip_shift: bool | None = None,
    sources: Sequence[ModelSource] | None = None,
) -> Path:
    """Make a known model, or one of the user's own, servable; return its directory in the store.

    The other arguments are for a model of the user's own. ``name`` defaults to its own with a
    digest; ``classes`` of a detector are the labels or ids that count; ``flip_shift`` says
    whether mirrored heatmaps of a keypoint model are shifted. A model that does not fit, or a name
    that is taken or reserved, is a `ConversionError`; one that can't be fetched a `FetchError`.
    """
    place = Path(what)
    if place.is_dir() or place.suffix in MODEL_SUFFIXES or is_archive(place):
        if what in KNOWN_MODELS:
            progress(f"taking the directory {what} here, not the published model of that name")
        return install_own_model(
            place.absolute(),
            None,
            store,
            name=name,
            classes=classes,
            flip_shift=flip_shift,
            progress=progress,
        )
    for option, value in (("name", name), ("classes", classes), ("flip_shift", flip_shift)):
        if value is not None:
            raise ConversionError(
                f"--{option} works only with a model of your own; {what!r} is no directory, file "
                "or archive of one"
            )
    if what in OPEN_MODELS:
        install_open_models([what], store, progress)
        return store.path(what)
    if what in PADDLEX_MODELS:
        directory = fetch(what, progress, lock, sources=sources)
        # It takes long to import, and models that are installed need none of it.
        from tritonpose_server.models.paddle.install import install_paddle_model

        return install_paddle_model(
            directory, PADDLEX_MODELS[what].role, store, name=what, progress=progress
        )
    raise ConversionError(
        f"{what!r} is neither a directory, file or archive of a model nor a known model; known: "
        f"{', '.join(KNOWN_MODELS)}"
    )


def installed_entry(store: ModelStore, name: str, *, digest: bool = True) -> ModelEntry:
    """Describe an installed model; for its ``digest`` all of its file is read.

    HomeError: it is damaged.
    """
    directory, model = store.path(name), store.model_file(name)
    provenance = store.provenance(name) or {}
    configs = [
        installed_config(path)
        for path in (directory / CONFIG_FILE, *sorted(directory.glob("configs/*.pbtxt")))
    ]
    try:
        size = model.stat().st_size
    except OSError as error:
        raise HomeError(
            f"{model} is damaged ({error}): remove {directory}, and install it again"
        ) from error
    known = KNOWN_MODELS.get(name)
    return ModelEntry(
        name=name,
        role=configs[0].parameters["role"].string_value,
        installed=True,
        source=str(provenance.get("source", "")),
        accuracy=known.accuracy if known else "",
        size_mb=size / 1e6,
        sha256=file_sha256(model) if digest else "",
        backends=tuple(dict.fromkeys(config.backend for config in configs)),
    )
