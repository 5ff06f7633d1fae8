"""Takes a model out of an archive of the user's own, tar or zip, wherever in it the model lies."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.fetch.archive import (
    CHUNK,
    DAMAGE,
    MAX_MEMBERS,
    MAX_UNPACKED_BYTES,
    ArchiveError,
    check_end,
    is_damage,
    open_tar,
    safe_members,
)
from tritonpose_server.models.paddle.files import YML_NAMES

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip")

_NETWORK_SUFFIXES = (".onnx", ".pdmodel", ".pdiparams")

# The end of a zip file: its mark, counts, sizes; a comment of up to 64 KiB may follow.
_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22
_MAX_ZIP_COMMENT = 1 << 16
_MAX_ZIP_DIRECTORY = 4 << 20


class _Entry(NamedTuple):
    """A file in an archive."""

    path: PurePosixPath
    content: IO[bytes]


def is_archive(path: Path) -> bool:
    """Whether a path is that of an archive, by its name."""
    return path.name.lower().endswith(SUFFIXES) and not path.is_dir()


def unpack_archive(archive: Path, directory: Path) -> None:
    """Put a model's folder in an archive, with all that lies in it, into an empty directory.

    What no honest archive has (links, devices, paths that lead out of it), too much content,
    damage, and no or several models are a `ConversionError`.
    """
    entries = _zip_entries if archive.name.lower().endswith(".zip") else _tar_entries
    try:
        folder = _model_folder([entry.path for entry in entries(archive)])
        for path, content in entries(archive):
            if not path.is_relative_to(folder):
                continue
            target = directory / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(content, file, CHUNK)
    except FileExistsError as error:
        raise ConversionError(f"{archive} has a file twice: {error.filename}") from error
    except FileNotFoundError:
        raise ConversionError(f"{archive}: there is no such archive") from None
    except ArchiveError as error:
        raise ConversionError(f"{archive}: {error}") from error
    except (OSError, *DAMAGE, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        if is_damage(error):
            # Passwords and rare compressions are among it.
            raise ConversionError(
                f"{archive} is damaged, cut short or encrypted ({error}): pack the model again"
            ) from error
        raise ConversionError(
            f"{archive} can't be unpacked into {directory} ({error}): $TMPDIR names another place"
        ) from error


def _model_folder(paths: list[PurePosixPath]) -> PurePosixPath:
    """Return the one folder with a model."""
    described = {path.parent for path in paths if path.name in YML_NAMES}
    networks = {path.parent for path in paths if path.suffix in _NETWORK_SUFFIXES}
    folders = sorted(described & networks)
    if len(folders) > 1:
        raise ArchiveError(
            f"the archive holds more than one model ({', '.join(map(str, folders))}): unpack it "
            "and name the one that is meant"
        )
    if not folders:
        raise ArchiveError(
            "the archive holds no model: in one folder there must be inference.yml (or "
            "infer_cfg.yml) and inference.onnx, or inference.json (or inference.pdmodel) with "
            "inference.pdiparams"
        )
    return folders[0]


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    with open_tar(archive, MAX_UNPACKED_BYTES, MAX_MEMBERS) as tar:
        for member in safe_members(tar, MAX_UNPACKED_BYTES, MAX_MEMBERS):
            path = PurePosixPath(member.name)
            content = None if _is_hidden(path) else tar.extractfile(member)
            if content is not None:
                yield _Entry(path, content)
        check_end(tar)


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    _check_zip_end(archive)
    total = 0
    with zipfile.ZipFile(archive) as pack:
        if len(pack.infolist()) > MAX_MEMBERS:
            raise ArchiveError(f"the archive has more than the {MAX_MEMBERS} members allowed")
        for info in pack.infolist():
            path = PurePosixPath(info.filename)
            if path.is_absolute() or ".." in path.parts or "\\" in info.filename:
                raise ArchiveError(f"the archive has the unsafe path {info.filename!r}")
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(f"{info.filename!r} in the archive is a link or a special file")
            if info.is_dir() or _is_hidden(path):
                continue
            total += info.file_size
            if total > MAX_UNPACKED_BYTES:
                raise ArchiveError(
                    f"the archive unpacks to more than the {MAX_UNPACKED_BYTES} bytes allowed"
                )
            # No more than its stated size is ever read.
            with pack.open(info) as content:
                yield _Entry(path, content)


def _check_zip_end(archive: Path) -> None:
    """Raise `ArchiveError` if a zip file's table of contents would take much memory."""
    size = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(max(0, size - _ZIP_END_BYTES - _MAX_ZIP_COMMENT))
        tail = file.read()
    position = tail.rfind(_ZIP_END)
    if position < 0 or len(tail) - position < _ZIP_END_BYTES:
        raise zipfile.BadZipFile("its end is missing")
    count, length = struct.unpack_from("<HI", tail, position + 10)
    if count > MAX_MEMBERS or length > _MAX_ZIP_DIRECTORY:
        raise ArchiveError(f"the archive has more than the {MAX_MEMBERS} members allowed")


def _is_hidden(path: PurePosixPath) -> bool:
    """Whether a file is one that macOS or tools put beside the real ones."""
    return "__MACOSX" in path.parts or any(part.startswith(".") for part in path.parts)
