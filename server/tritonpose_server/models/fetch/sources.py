"""Fetches PaddleX models from where they are published, one source after the other."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tritonpose_server.models.directories import replaced_directory
from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.fetch.archive import MODEL_FILES, require_model, unpack_model
from tritonpose_server.models.fetch.download import (
    DEFAULT_LIMITS,
    DownloadLimits,
    NotFoundError,
    download_file,
    redact_credentials,
)
from tritonpose_server.models.fetch.lock import ModelLock, ModelRecord
from tritonpose_server.models.store import Progress

MIRROR_VARIABLE = "TRITONPOSE_MODEL_MIRROR"

PLAIN_HTTP_VARIABLE = "TRITONPOSE_ALLOW_HTTP_MIRROR"
"""1 allows a mirror whose answers anybody on the way can change."""


@dataclass(frozen=True)
class ModelSource:
    """A place where models are published.

    In its address ``{model}`` is the model's name; it is of a tar archive, or with ``{file}`` of
    single files.
    """

    title: str
    address: str

    def fetch(
        self, model: str, directory: Path, limits: DownloadLimits = DEFAULT_LIMITS
    ) -> ModelRecord:
        """Put a model's files, and nothing else, into an empty directory, or raise `FetchError`."""
        address = self.address.replace("{model}", model)
        shown = redact_credentials(address)
        archive = directory / f"{model}_infer.tar"
        try:
            if "{file}" in address:
                return ModelRecord(shown, _download_files(address, directory, limits))
            archive_sha256 = download_file(address, archive, limits=limits)
            files = unpack_model(archive, directory)
        except FetchError as error:
            raise type(error)(f"{shown}: {str(error).removeprefix(f'{shown}: ')}") from error
        archive.unlink()
        return ModelRecord(shown, files, archive_sha256)


DEFAULT_SOURCES = (
    ModelSource(
        "official archive",
        "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model/"
        "paddle3.0.0/{model}_infer.tar",
    ),
    ModelSource("Hugging Face", "https://huggingface.co/PaddlePaddle/{model}/resolve/main/{file}"),
    ModelSource(
        "ModelScope",
        "https://www.modelscope.cn/models/PaddlePaddle/{model}/resolve/master/{file}",
    ),
)


def default_sources() -> tuple[ModelSource, ...]:
    """Return `DEFAULT_SOURCES`, after the mirror of ``$TRITONPOSE_MODEL_MIRROR`` if that is set.

    If the variable does not hold an address of archives, or one of plain HTTP that
    ``$TRITONPOSE_ALLOW_HTTP_MIRROR`` does not allow, `FetchError` is raised.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return DEFAULT_SOURCES
    if "{model}" not in mirror:
        raise FetchError(
            f"{MIRROR_VARIABLE} must be the address of model archives with {{model}} for the "
            f"model's name, like https://mirror.example/{{model}}_infer.tar; it is "
            f"{redact_credentials(mirror)}"
        )
    if not mirror.lower().startswith("https://") and os.environ.get(PLAIN_HTTP_VARIABLE) != "1":
        raise FetchError(
            f"{MIRROR_VARIABLE} is {redact_credentials(mirror)}, which is not https: anybody on "
            "the way could change the models, and read a password in the address. Use https, or "
            f"set {PLAIN_HTTP_VARIABLE}=1 where the network is trusted"
        )
    return (ModelSource("mirror", mirror), *DEFAULT_SOURCES)


def answering_sources(
    sources: Sequence[ModelSource] | None = None, patience_s: float = 3.0
) -> tuple[ModelSource, ...]:
    """Return the sources whose servers answer at all, all asked at the same time.

    On a machine without a network, the timeouts of one server after the other would add up to half
    a minute; that of name resolution can't even be set.
    """
    # It takes long to import, and models that are installed need none of it.
    import httpx

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
    progress: Progress = lambda _line: None,
    limits: DownloadLimits = DEFAULT_LIMITS,
) -> ModelSource:
    """Fetch a model from the first source that has it, and return that.

    The directory is the model's own: it appears, or is replaced, when all is there. A source that
    gives other files than ``lock`` has is passed over; a model not in it yet is recorded. If no
    source has the model, the message of the `FetchError` has one line per source.
    """
    if lock is not None:
        lock.record(name)  # a malformed lock file is no source's fault
    failures: list[str] = []
    for source in default_sources() if sources is None else sources:
        progress(f"fetching {name} from {source.title}")
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-fetch-", dir=directory.parent) as work:
            try:
                found = source.fetch(name, Path(work), limits)
                if lock is not None:
                    lock.verify_or_add(name, found, progress)
            except FetchError as error:
                failures.append(f"{source.title}: {' '.join(str(error).split())}")
                progress(failures[-1])
                continue
            with replaced_directory(directory) as staging:
                for file in Path(work).iterdir():
                    file.replace(staging / file.name)
        return source
    if not failures:
        raise FetchError(f"{name} can't be fetched: no server that has it answers")
    raise FetchError("\n  ".join([f"{name} can't be fetched:", *failures]))


def _download_files(address: str, directory: Path, limits: DownloadLimits) -> dict[str, str]:
    """Download those of a model's files that are there and return the SHA-256 of each."""
    files: dict[str, str] = {}
    for name in MODEL_FILES:
        # Every model has this one; without it there is no need to ask for the others.
        optional = () if name == "inference.yml" else (NotFoundError,)
        with suppress(*optional):
            files[name] = download_file(
                address.replace("{file}", name), directory / name, limits=limits
            )
    require_model(files)
    return files
