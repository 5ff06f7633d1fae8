"""The directory of everything fetched or built for a user, and whether it can be written."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tritonpose_server.models.errors import HomeError

HOME_VARIABLE = "TRITONPOSE_HOME"

# Besides what is known to be needed: configurations, and what a file system takes for itself.
_RESERVE_BYTES = 1 << 20


def cache_home() -> Path:
    """Return the directory of everything fetched or built for this user; it may not exist.

    ``$TRITONPOSE_HOME``, else ``$XDG_CACHE_HOME/tritonpose``, else ``~/.cache/tritonpose``. Where
    none of them says a place, the `HomeError` names the first.
    """
    home = os.environ.get(HOME_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        if home:
            return Path(home).expanduser().absolute()
        return Path(base).expanduser().absolute() / "tritonpose"
    except (RuntimeError, OSError) as error:
        raise HomeError(
            f"there is no place for models: {home or base} can't be found for {user()} "
            f"({error}). Name a directory in ${HOME_VARIABLE}"
        ) from error


def compiled_directory() -> Path | None:
    """Return the directory for what engines compile; None where nothing can be written."""
    with contextlib.suppress(HomeError):
        return writable_directory(cache_home() / "compiled")
    return None


def writable_directory(directory: Path, needed_bytes: int = 0) -> Path:
    """Make sure that ``needed_bytes`` can be written into a directory, and return it.

    It is made where it is missing, for this user alone. A `HomeError` says what is wrong and, for
    directories of `cache_home`, that ``$TRITONPOSE_HOME`` names another place.
    """
    with explained_errors(directory):
        for missing in [*_missing(directory)]:
            # One of several processes that make it is first.
            missing.mkdir(mode=0o700, exist_ok=True)
        require_trusted(directory)
        with tempfile.TemporaryFile(dir=directory) as probe:
            # On a full disk an empty file can still be made.
            probe.write(bytes(4096))
            probe.flush()
        free = shutil.disk_usage(directory).free
    if free < needed_bytes + _RESERVE_BYTES:
        raise HomeError(
            f"{directory} has {free >> 20} MB free, {(needed_bytes + _RESERVE_BYTES) >> 20} MB are "
            f"needed: make room{_elsewhere(directory)}"
        )
    return directory


def user() -> str:
    """Name the user that this process runs as."""
    return f"the user {os.getuid()}" if hasattr(os, "getuid") else "this user"


def require_trusted(directory: Path) -> None:
    """Raise `HomeError` if another user may have put a directory where all users can.

    The owner of a directory can replace the models in it.
    """
    if not hasattr(os, "getuid"):
        # Windows, where places for all users are not directories with such a mode.
        return
    for place in (directory, *directory.parents):
        try:
            owner = place.lstat().st_uid
            shared = bool(place.parent.stat().st_mode & stat.S_IWOTH)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _explained(error, directory) from error
        if shared and owner not in (os.getuid(), 0):
            raise HomeError(
                f"{place} belongs to another user (uid {owner}), in a directory that everybody can "
                f"write: remove it{_elsewhere(directory)}"
            )


@contextlib.contextmanager
def work_directory() -> Iterator[Path]:
    """Make a temporary directory for the block, or raise `HomeError` that says how to choose it."""
    try:
        work = tempfile.mkdtemp(prefix="tritonpose-")
    except OSError as error:
        raise HomeError(
            f"no temporary file can be made ({error}): name a directory with room in $TMPDIR"
        ) from error
    try:
        yield Path(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def explained_errors(directory: Path) -> Iterator[None]:
    """Turn errors of the file system in a block into a `HomeError` about a directory."""
    try:
        yield
    except OSError as error:
        raise _explained(error, directory) from error


def _explained(error: OSError, directory: Path) -> HomeError:
    place = error.filename if isinstance(error.filename, str) else directory
    return HomeError(
        f"{directory} can't be used ({error.strerror or error}: {place}): make it writable for "
        f"{user()}, with room for models{_elsewhere(directory)}"
    )


def _elsewhere(directory: Path) -> str:
    """Return how to choose another place, if the directory is not one that a command named."""
    with contextlib.suppress(HomeError):
        if directory.absolute().is_relative_to(cache_home()):
            return f", or name another directory in ${HOME_VARIABLE}"
    return ", or name another directory"


def _missing(directory: Path) -> Iterator[Path]:
    """Iterate over a directory and its parents that do not exist, the outermost first."""
    if not directory.is_dir():
        yield from _missing(directory.parent)
        yield directory
