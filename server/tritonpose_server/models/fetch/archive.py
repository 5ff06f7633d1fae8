"""Takes a PaddleX model out of its archive, without trusting the archive."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from tritonpose_server.models.errors import FetchError

# What a model can consist of, small files first.
MODEL_FILES = (
    "inference.yml",
    "inference.json",
    "inference.pdmodel",
    "inference.onnx",
    "inference.pdiparams",
)

MAX_UNPACKED_BYTES = 2 << 30
MAX_MEMBERS = 1000

_CHUNK = 1 << 20
_BLOCK = 512
_MAX_PADDING = 1 << 20
_DAMAGE = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    # What `tarfile` makes of absurd numbers in headers.
    ValueError,
    OverflowError,
    MemoryError,
)


class ArchiveError(FetchError):
    """An archive is damaged, suspicious or holds no model; the message says what to do."""


def unpack_model(
    archive: Path,
    directory: Path,
    *,
    max_bytes: int = MAX_UNPACKED_BYTES,
    max_members: int = MAX_MEMBERS,
) -> dict[str, str]:
    """Take a model's files out of a tar file's top or one folder; return their SHA-256 in hex.

    Only `MODEL_FILES` are ever written, by their plain names; anything else in the archive is
    ignored, unless it is of a kind that no honest archive has: links, devices and paths that lead
    out of it are an `ArchiveError`, as damage is and too much content. After an error some files
    may be in the directory.
    """
    taken: dict[str, str] = {}
    folders: set[str] = set()
    try:
        with _open(archive) as tar:
            for member in _safe_members(tar, max_bytes, max_members):
                path = PurePosixPath(member.name)
                wanted = path.name in MODEL_FILES and len(path.parts) <= 2
                content = tar.extractfile(member) if wanted else None
                if content is None:
                    continue
                folders.add(str(path.parent))
                if path.name in taken or len(folders) > 1:
                    raise ArchiveError(f"the archive holds more than one model ({member.name!r})")
                taken[path.name] = _write(content, directory / path.name)
            _check_end(tar)
    except _DAMAGE as error:
        raise ArchiveError(
            f"the archive is damaged or cut short ({error}): fetch it again"
        ) from error
    except OSError as error:
        raise ArchiveError(f"the archive can't be unpacked ({error}): is there space?") from error
    require_model(taken)
    return taken


def require_model(names: Collection[str]) -> None:
    """Raise `ArchiveError`, saying what is missing, unless files are a whole model."""
    graphs = {"inference.json", "inference.pdmodel"}
    has_network = "inference.onnx" in names or (
        "inference.pdiparams" in names and not graphs.isdisjoint(names)
    )
    if "inference.yml" not in names or not has_network:
        raise ArchiveError(
            f"holds no complete model, only {', '.join(sorted(names)) or 'none of its files'}: "
            "needed are inference.yml, and inference.onnx or inference.pdiparams with "
            "inference.json or inference.pdmodel"
        )


def _open(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, "r:*")
    except tarfile.ReadError:
        # Its own message lists what each compression has to say.
        raise tarfile.ReadError("it does not begin like a tar file") from None


def _safe_members(
    tar: tarfile.TarFile, max_bytes: int, max_members: int
) -> Iterator[tarfile.TarInfo]:
    """Iterate over the members, each only after it was checked."""
    total = 0
    for count, member in enumerate(tar, start=1):
        # Members that are skipped count too: reaching the next one means decompressing them.
        total += member.size
        if member.size < 0 or total > max_bytes:
            raise ArchiveError(f"the archive unpacks to more than the {max_bytes} bytes allowed")
        if count > max_members:
            raise ArchiveError(f"the archive has more than the {max_members} members allowed")
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise ArchiveError(f"the archive has the unsafe path {member.name!r}: do not use it")
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
        if not plain and not member.isdir():
            raise ArchiveError(
                f"{member.name!r} in the archive is a link or a special file: do not use it"
            )
        yield member


def _write(content: IO[bytes], target: Path) -> str:
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _check_end(tar: tarfile.TarFile) -> None:
    """Make sure that the archive ends as it should.

    ``tarfile`` takes a broken header for the end of the archive. And only when a compressed file
    is read to its end is its checksum compared.
    """
    stream = cast("IO[bytes]", tar.fileobj)
    stream.seek(tar.offset)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("its end is missing")
    if len(stream.read(_MAX_PADDING)) == _MAX_PADDING:
        raise tarfile.ReadError("something comes after its end")
