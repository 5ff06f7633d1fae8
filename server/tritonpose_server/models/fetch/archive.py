"""Takes a PaddleX model out of its archive, without trusting the archive."""

from __future__ import annotations

import bz2
import contextlib
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

CHUNK = 1 << 20
_BLOCK = 512
_MAX_PADDING = 1 << 20

# A member comes with headers of its own: names and numbers that do not fit into the first.
_MAX_HEADERS = 4 * _BLOCK

DAMAGE = (
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    # What `tarfile` makes of absurd numbers in headers, and of headers without end.
    ValueError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""Errors that reading a damaged archive raises, besides the `OSError` of `is_damage`."""


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
        with open_tar(archive, max_bytes, max_members) as tar:
            for member in safe_members(tar, max_bytes, max_members):
                path = PurePosixPath(member.name)
                wanted = path.name in MODEL_FILES and len(path.parts) <= 2
                content = tar.extractfile(member) if wanted else None
                if content is None:
                    continue
                folders.add(str(path.parent))
                if path.name in taken or len(folders) > 1:
                    raise ArchiveError(f"the archive holds more than one model ({member.name!r})")
                taken[path.name] = write_member(content, directory / path.name)
            check_end(tar)
    except (OSError, *DAMAGE) as error:
        if is_damage(error):
            raise ArchiveError(
                f"the archive is damaged or cut short ({error}): fetch it again"
            ) from error
        raise ArchiveError(f"the archive can't be unpacked ({error}): is there space?") from error
    require_model(taken)
    return taken


def is_damage(error: Exception) -> bool:
    """Whether an error in unpacking is about the archive's content."""
    # gzip and bz2 raise OSError for that; those of the system have a number.
    return not isinstance(error, OSError) or error.errno is None


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


@contextlib.contextmanager
def open_tar(archive: Path, max_bytes: int, max_members: int) -> Iterator[tarfile.TarFile]:
    """Open a tar file, compressed or not, of which no more than that is ever read or held."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(archive.open("rb"))
        start = file.read(6)
        file.seek(0)
        stream: IO[bytes] = file
        if start.startswith(b"\x1f\x8b"):
            stream = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=file)))
        elif start.startswith(b"\xfd7zXZ"):
            stream = cast("IO[bytes]", stack.enter_context(lzma.LZMAFile(file)))
        elif start.startswith(b"BZh"):
            stream = cast("IO[bytes]", stack.enter_context(bz2.BZ2File(file)))
        bounded = _BoundedStream(stream, max_bytes + max_members * _MAX_HEADERS + _MAX_PADDING)
        try:
            tar = stack.enter_context(tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:"))
        except tarfile.ReadError as error:
            if bounded.refused:
                raise
            raise tarfile.ReadError("it does not begin like a tar file") from error
        yield tar


class _BoundedStream:
    """A file that gives no more than a piece at a time, and no more than a limit in all.

    ``tarfile`` reads a header of any size at once: a few kilobytes can unpack to gigabytes.
    """

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit
        self.refused = False

    def read(self, size: int) -> bytes:
        if size > CHUNK:
            self.refused = True
            raise tarfile.ReadError(f"a header of {size} bytes is more than any archive needs")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        if whence == 0:
            self._check(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise ArchiveError(f"the archive unpacks to more than the {self._limit} bytes allowed")


def safe_members(
    tar: tarfile.TarFile, max_bytes: int, max_members: int
) -> Iterator[tarfile.TarInfo]:
    """Iterate over the members, each only after it was checked; raise `ArchiveError`."""
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


def write_member(content: IO[bytes], target: Path) -> str:
    """Write a member to a new file and return its SHA-256 in hex."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def check_end(tar: tarfile.TarFile) -> None:
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
