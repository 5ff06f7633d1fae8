"""What ``tritonpose models`` does: list, fetch, install and remove models by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tritonpose_server.models.catalog import CATALOG
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.fetch.lock import ModelLock
from tritonpose_server.models.fetch.sources import ModelSource, fetch_model
from tritonpose_server.models.open_models.catalog import OPEN_MODELS
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.paddle.model import install_paddle_model
from tritonpose_server.models.store import CONFIG_FILE, ModelStore, Progress, cache_home


@dataclass(frozen=True)
class ModelEntry:
    """A model that is known or installed.

    Attributes:
        name: Its name.
        role: ``detector`` or ``keypoint``.
        installed: Whether it can be served.
        source: Where it comes from.
        accuracy: As published, empty where it is not.
        size_mb: Size of the installed ONNX file, else the published size; None where unknown.
        sha256: Of the installed ONNX file, empty where it is not installed or was not asked for.
        backends: Backends it is configured for.
    """

    name: str
    role: str
    installed: bool
    source: str
    accuracy: str
    size_mb: float | None
    sha256: str
    backends: tuple[str, ...]


def default_store() -> ModelStore:
    """The user's store of models."""
    return ModelStore(cache_home() / "models")


def default_lock() -> ModelLock:
    """The user's lock file."""
    return ModelLock(cache_home() / "models.lock.json")


def list_models(store: ModelStore, *, digests: bool = True) -> list[ModelEntry]:
    """The models that are installed, and those that are known but not installed.

    Args:
        store: Where models are kept.
        digests: Whether to tell the SHA-256 of those installed; all their files are read for it.
    """
    installed = [_installed_entry(store.path(name), digests) for name in store.names()]
    names = {entry.name for entry in installed}
    known = [
        ModelEntry(name, known.role, False, "PaddleX", known.accuracy, known.size_mb, "", ())
        for name, known in CATALOG.items()
    ] + [
        ModelEntry(name, _open_role(name), False, "open model", "", None, "", ())
        for name in OPEN_MODELS
    ]
    return sorted(
        [*installed, *(entry for entry in known if entry.name not in names)],
        key=lambda entry: (not entry.installed, entry.role, entry.name),
    )


def fetch(
    name: str,
    progress: Progress,
    lock: ModelLock,
    *,
    sources: Sequence[ModelSource] | None = None,
) -> Path:
    """Fetch one of PaddleX's models, unless it is there already.

    Args:
        name: Its name.
        progress: Called with lines for the user.
        lock: Checksums of earlier fetches.
        sources: Where to look; default: everywhere that PaddleX publishes its models.

    Returns:
        The model directory, as PaddleX publishes it.

    Raises:
        ConversionError: The name is unknown.
        FetchError: No source has it.
    """
    if name not in CATALOG:
        raise ConversionError(f"no model {name!r} is known; known: {', '.join(CATALOG)}")
    directory = cache_home() / "archives" / name
    if not directory.is_dir():
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
    sources: Sequence[ModelSource] | None = None,
) -> Path:
    """Make a model servable.

    Args:
        what: Name of a known model, or path of a model directory.
        store: Where models are kept.
        progress: Called with lines for the user.
        lock: Checksums of earlier fetches.
        name: Name to serve a model directory under; default: its own name with a digest.
        sources: Where to look for a known model of PaddleX; see `fetch`.

    Returns:
        The model's directory.

    Raises:
        ConversionError: The model does not fit, or the name is taken or reserved.
        FetchError: The model can't be fetched.
    """
    if Path(what).is_dir():
        if name in CATALOG or name in OPEN_MODELS:
            raise ConversionError(
                f"{name!r} is the name of published weights; choose another for your own model"
            )
        return install_paddle_model(
            Path(what).absolute(), None, store, name=name, progress=progress
        )
    if name is not None:
        raise ConversionError(f"--name is for model directories; {what!r} is none")
    if what in OPEN_MODELS:
        (model,) = install_open_models([what], cache_home() / "downloads", store, progress)
        return model
    if what in CATALOG:
        directory = fetch(what, progress, lock, sources=sources)
        return install_paddle_model(
            directory, CATALOG[what].role, store, name=what, progress=progress
        )
    raise ConversionError(
        f"{what!r} is neither a directory nor a known model; known: "
        f"{', '.join([*CATALOG, *OPEN_MODELS])}"
    )


def _installed_entry(directory: Path, digest: bool) -> ModelEntry:
    name = directory.name
    provenance = ModelStore(directory.parent).provenance(name) or {}
    model = directory / "1" / "model.onnx"
    configs = [directory / CONFIG_FILE, *sorted(directory.glob("configs/*.pbtxt"))]
    parsed = [_parse_config(path) for path in configs]
    known = CATALOG.get(name)
    return ModelEntry(
        name=name,
        role=parsed[0].parameters["role"].string_value,
        installed=True,
        source=str(provenance.get("source", "")),
        accuracy=known.accuracy if known else "",
        size_mb=model.stat().st_size / 1e6,
        sha256=hashlib.sha256(model.read_bytes()).hexdigest() if digest else "",
        backends=tuple(dict.fromkeys(config.backend for config in parsed)),
    )


def _parse_config(path: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(path.read_text("utf-8"), model_config_pb2.ModelConfig())


def _open_role(name: str) -> str:
    return "keypoint" if OPEN_MODELS[name].detection is None else "detector"


def as_row(entry: ModelEntry) -> Mapping[str, str]:
    """An entry's facts as text, by column."""
    return {
        "name": entry.name,
        "role": entry.role,
        "installed": "yes" if entry.installed else "no",
        "size": "" if entry.size_mb is None else f"{entry.size_mb:.1f} MB",
        "accuracy": entry.accuracy,
        "backends": ",".join(entry.backends),
        "sha256": entry.sha256[:12],
        "source": entry.source,
    }
