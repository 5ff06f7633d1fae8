"""Fetches PaddleX models from where they are published, one source after the other."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from tritonpose_server.models.catalog import CATALOG
from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.fetch.archive import MODEL_FILES, require_model, unpack_model
from tritonpose_server.models.fetch.directory_lock import exclusive
from tritonpose_server.models.fetch.download import (
    DEFAULT_LIMITS,
    DownloadLimits,
    NotFoundError,
    download_file,
    public_address,
)
from tritonpose_server.models.fetch.fetch_progress import FetchProgress, Silence
from tritonpose_server.models.fetch.lock import ModelLock, ModelRecord
from tritonpose_server.models.store import replaced_directory

MIRROR_VARIABLE = "TRITONPOSE_MODEL_MIRROR"

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Downloader(Protocol):
    """Downloads one file for a source, within the limits of the fetch."""

    def __call__(self, address: str, destination: Path, /) -> str:
        """Download a file and return its SHA-256 in hex.

        Raises:
            NotFoundError: The server has no such file.
            DownloadError: It could not be downloaded.
        """


class ModelSource(Protocol):
    """A place where models are published."""

    @property
    def title(self) -> str:
        """What to call it to the user."""

    @property
    def address(self) -> str:
        """Address of its files, with placeholders."""

    def fetch(self, model: str, directory: Path, download: Downloader) -> ModelRecord:
        """Put the files of a model into a directory.

        Args:
            model: The model's name.
            directory: Where to; exists, is empty, and gets nothing but the model's files.
            download: Downloads files.

        Returns:
            What was fetched.

        Raises:
            FetchError: The model can't be had here.
        """


@dataclass(frozen=True)
class ArchiveSource:
    """Models as one tar archive each.

    Attributes:
        title: What to call it to the user.
        address: Of the archives, with ``{model}`` for the model's name.
    """

    title: str
    address: str

    def fetch(self, model: str, directory: Path, download: Downloader) -> ModelRecord:
        """Download and unpack the model's archive; see `ModelSource.fetch`."""
        address = self.address.replace("{model}", model)
        archive = directory / f"{model}_infer.tar"
        archive_sha256 = download(address, archive)
        try:
            files = unpack_model(archive, directory)
        except FetchError as error:
            raise FetchError(f"{public_address(address)}: {error}") from error
        archive.unlink()
        return ModelRecord(public_address(address), files, archive_sha256)


@dataclass(frozen=True)
class FilesSource:
    """Models as single files.

    Attributes:
        title: What to call it to the user.
        address: Of the files, with ``{model}`` and ``{file}``.
    """

    title: str
    address: str

    def fetch(self, model: str, directory: Path, download: Downloader) -> ModelRecord:
        """Download those of the model's files that are there; see `ModelSource.fetch`."""
        folder = self.address.replace("{model}", model)
        files: dict[str, str] = {}
        for name in MODEL_FILES:
            # Every model has this one; without it there is no need to ask for the others.
            optional = () if name == "inference.yml" else (NotFoundError,)
            with suppress(*optional):
                files[name] = download(folder.replace("{file}", name), directory / name)
        shown = public_address(folder)
        try:
            require_model(files)
        except FetchError as error:
            raise FetchError(f"{shown}: {error}") from error
        return ModelRecord(shown, files)


DEFAULT_SOURCES: tuple[ModelSource, ...] = (
    ArchiveSource(
        "official archive",
        "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model/"
        "paddle3.0.0/{model}_infer.tar",
    ),
    FilesSource("Hugging Face", "https://huggingface.co/PaddlePaddle/{model}/resolve/main/{file}"),
    FilesSource(
        "ModelScope",
        "https://www.modelscope.cn/models/PaddlePaddle/{model}/resolve/master/{file}",
    ),
)


@dataclass(frozen=True)
class FetchedModel:
    """A model that was fetched.

    Attributes:
        name: The model's name.
        directory: Where it is.
        source: Title of the source it came from.
        address: Where that has it, without credentials.
        files: SHA-256 in hex of each file, by name.
        failures: One line for each source that was tried before.
    """

    name: str
    directory: Path
    source: str
    address: str
    files: Mapping[str, str]
    failures: tuple[str, ...]


def default_sources() -> tuple[ModelSource, ...]:
    """`DEFAULT_SOURCES`, after the mirror of ``$TRITONPOSE_MODEL_MIRROR`` if that is set.

    Raises:
        FetchError: The variable holds no address of archives.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return DEFAULT_SOURCES
    if "{model}" not in mirror:
        raise FetchError(
            f"{MIRROR_VARIABLE} must be the address of model archives with {{model}} for the "
            f"model's name, like https://mirror.example/{{model}}_infer.tar; it is "
            f"{public_address(mirror)}"
        )
    return (ArchiveSource("mirror", mirror), *DEFAULT_SOURCES)


def answering_sources(
    sources: Sequence[ModelSource] | None = None, patience_s: float = 3.0
) -> tuple[ModelSource, ...]:
    """Return the sources whose servers answer at all, all asked at the same time.

    On a machine without a network, timeouts of one server after the other would add up to minutes,
    of which name resolution alone can take half and which nothing can shorten.

    Args:
        sources: Which ones; default: `default_sources`.
        patience_s: Longest wait for all answers together, in seconds.
    """
    asked = default_sources() if sources is None else tuple(sources)
    answered: set[str] = set()

    def ask(address: str) -> None:
        # The path does not matter: an error is an answer, too.
        with suppress(httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError):
            httpx.head(address, timeout=patience_s)
            answered.add(address)

    deadline = time.monotonic() + patience_s
    threads = [
        threading.Thread(target=ask, args=(source.address,), daemon=True) for source in asked
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return tuple(source for source in asked if source.address in answered)


def fetch_model(
    name: str,
    directory: Path,
    *,
    sources: Sequence[ModelSource] | None = None,
    lock: ModelLock | None = None,
    progress: FetchProgress | None = None,
    limits: DownloadLimits = DEFAULT_LIMITS,
) -> FetchedModel:
    """Fetch a model from the first source that has it.

    Args:
        name: The model's name, as PaddleX writes it.
        directory: The model's own directory. It appears, or is replaced, when all is there.
        sources: Where to look, in this order; default: `default_sources`.
        lock: What earlier fetches gave: a source that gives other files is passed over. A model
            not in it yet is recorded.
        progress: Shows what goes on.
        limits: When to give up on a file.

    Returns:
        What was fetched, and from where.

    Raises:
        FetchError: No source has it, or the lock file or the mirror's address is malformed; the
            message has one line per source.
        ValueError: The name can't be a model's.
        OSError: The directory can't be made.
    """
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} can't be the name of a model")
    if lock is not None:
        lock.record(name)  # a malformed lock file is no source's fault
    progress = progress or Silence()

    def download(address: str, destination: Path) -> str:
        with progress.transfer(f"{name} {destination.name}") as advance:
            return download_file(address, destination, progress=advance, limits=limits)

    failures: list[str] = []
    directory.parent.mkdir(parents=True, exist_ok=True)
    for source in default_sources() if sources is None else sources:
        progress.line(f"fetching {name} from {source.title}")
        with tempfile.TemporaryDirectory(prefix=f".{name}-fetch-", dir=directory.parent) as work:
            try:
                found = source.fetch(name, Path(work), download)
                if lock is not None:
                    lock.verify_or_add(name, found)
            except FetchError as error:
                failures.append(f"{source.title}: {' '.join(str(error).split())}")
                progress.line(failures[-1])
                continue
            _put_in_place(Path(work), directory)
        return FetchedModel(
            name, directory, source.title, found.source, found.files, tuple(failures)
        )
    raise FetchError(_all_failed(name, failures))


def _put_in_place(work: Path, directory: Path) -> None:
    # One at a time: replacing a directory takes two steps.
    with exclusive(directory.parent), replaced_directory(directory) as staging:
        for file in work.iterdir():
            file.replace(staging / file.name)


def _all_failed(name: str, failures: Sequence[str]) -> str:
    if not failures:
        return f"{name} can't be fetched: no server that has it answers"
    lines = [f"{name} can't be fetched:", *(f"  {failure}" for failure in failures)]
    if name not in CATALOG:
        lines.append(f"Is the name right? Known models: {', '.join(CATALOG)}.")
    return "\n".join(lines)
