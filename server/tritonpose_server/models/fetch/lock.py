"""Remembers which files were fetched for a model, so that later fetches give the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tritonpose.whole_files import whole_file
from tritonpose_server.models.directories import locked_directory
from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.fetch.archive import MODEL_FILES
from tritonpose_server.models.store import Progress, file_sha256

_VERSION = 1


class LockError(FetchError):
    """Files are not those of the lock file, or it can't be read; the message says what to do."""


@dataclass(frozen=True)
class ModelRecord:
    """What was fetched for a model: its address without credentials, and SHA-256 of files in hex.

    ``archive_sha256`` is None where the files came one by one.
    """

    source: str
    files: Mapping[str, str]
    archive_sha256: str | None = None


class ModelLock:
    """A JSON file with one record per model, meant to be kept under version control."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made with the first record."""
        self.path = path

    def record(self, model: str) -> ModelRecord | None:
        """Return what is recorded of a model, None if nothing is; raise `LockError` if damaged."""
        return self._read().get(model)

    def verify_files(self, model: str, directory: Path, progress: Progress) -> None:
        """Compare a model that was fetched before with its record, or record it."""
        try:
            files = {
                name: file_sha256(directory / name)
                for name in MODEL_FILES
                if (directory / name).exists()
            }
        except OSError as error:
            raise LockError(f"{directory} can't be read: {error}") from error
        found = ModelRecord("the cache (fetched earlier)", files)
        known = self.record(model)
        if known is None:
            self.verify_or_add(model, found, progress)
        elif differences := _differences(known, found):
            raise LockError(
                f"what was fetched as {model} before, in {directory}, is not what {self.path} has "
                f"recorded (from {known.source}): {'; '.join(differences)}. Remove {directory} to "
                "fetch it again"
            )

    def verify_or_add(
        self, model: str, found: ModelRecord, progress: Progress = lambda _line: None
    ) -> None:
        """Compare what was fetched with the record, or record it; a difference is a `LockError`.

        The same files may come from another source. Archives are compared where both came from the
        same address.
        """
        directory = self.path.absolute().parent
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with locked_directory(directory, progress):
                records = self._read()
                known = records.get(model)
                if known is None:
                    self._write({**records, model: found})
                    return
        except OSError as error:
            raise LockError(f"{self.path} can't be written: {error}") from error
        differences = _differences(known, found)
        if differences:
            raise LockError(
                f"what {found.source} gives is not the {model} recorded in {self.path} (from "
                f"{known.source}): {'; '.join(differences)}. To accept it on purpose, remove the "
                f'entry "{model}" from {self.path} and fetch again'
            )

    def _read(self) -> dict[str, ModelRecord]:
        try:
            content = json.loads(self.path.read_text("utf-8"))
            if content["version"] != _VERSION:
                raise LockError(
                    f"{self.path} has version {content['version']!r}, this program knows only "
                    f"{_VERSION}: use a newer one"
                )
            return {
                name: ModelRecord(
                    entry["source"], dict(entry["files"].items()), entry.get("archive_sha256")
                )
                for name, entry in content["models"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LockError(
                f"{self.path} is not a model lock file ({error!r}): restore it, or remove it to "
                "record all models again"
            ) from error

    def _write(self, records: Mapping[str, ModelRecord]) -> None:
        models = {
            name: {key: value for key, value in asdict(record).items() if value is not None}
            for name, record in records.items()
        }
        text = json.dumps({"version": _VERSION, "models": models}, indent=2, sort_keys=True)
        with whole_file(self.path) as file:
            file.write(f"{text}\n".encode())


def _differences(known: ModelRecord, found: ModelRecord) -> list[str]:
    names = sorted(set(known.files) | set(found.files))
    pairs = [(name, known.files.get(name), found.files.get(name)) for name in names]
    if known.source == found.source:
        pairs.append(("the archive", known.archive_sha256, found.archive_sha256))
    return [
        f"{name} has SHA-256 {new or 'nothing (it is missing)'}, recorded is {old or 'nothing'}"
        for name, old, new in pairs
        if old != new
    ]
