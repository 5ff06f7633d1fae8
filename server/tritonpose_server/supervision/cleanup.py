"""Removes what a killed server leaves on the machine.

A server has a temporary directory and regions of shared memory whose names begin with the server's
id. All its processes inherit a lock on a file in the directory: it is held as long as one of them
lives. Triton's Python backend has directories of its own, ``/tmp/python_env_XXXXXX``, which only a
Triton that ends by itself removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.supervision.processes import triton_start_times

_LOCK = "lock"
_ENVIRONMENTS = "python_environments"
_DIRECTORY = re.compile(r"(tritonpose-[0-9a-f]{12})-\w+")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
# The backend has this place built in, whatever $TMPDIR says.
_PYTHON_ENVIRONMENTS = Path("/tmp")  # noqa: S108

# Triton starts its Python processes by a line for a shell, without quotes; and colons separate the
# paths of libraries.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")

# From the start of a Triton until it has made its directory, at most, and how exact starts are.
_INIT_SECONDS, _CLOCK_SECONDS = 20.0, 2.0


def make_directory(server_id: str) -> tuple[Path, int]:
    """Make the temporary directory of a server, its id ``tritonpose-`` and 12 hexadecimal digits.

    The descriptor is that of its lock, for the server's processes to inherit. Raises
    EmbeddedServerError if there is no place for it.
    """
    place = next((each for each in temporary_directories() if _is_usable(each)), None)
    if place is None:
        raise EmbeddedServerError(
            "there is no place for the server's files: of $TMPDIR, /tmp and /var/tmp one must be "
            "writable, let programs be started, and have no blank or special character in its path"
        )
    # Under another name until it is locked, so that no other server takes it for abandoned.
    unlocked = Path(tempfile.mkdtemp(prefix=f".{server_id}-", dir=place))
    lock = os.open(unlocked / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return unlocked.rename(unlocked.with_name(unlocked.name.removeprefix("."))), lock


def remove_abandoned() -> list[str]:
    """Remove what is left of servers that have no process any more; return their ids."""
    removed = []
    found = [path for place in temporary_directories() for path in place.glob("tritonpose-*")]
    for directory in found:
        match = _DIRECTORY.fullmatch(directory.name)
        # Those of servers that end meanwhile can't be opened.
        with contextlib.suppress(OSError):
            if match and _is_own_directory(directory) and is_free(directory / _LOCK):
                remove_shared_memory(match[1])
                record = directory / _ENVIRONMENTS
                lines = record.read_text("utf-8").splitlines() if record.exists() else []
                remove_python_environments(python_environments().intersection(map(Path, lines)))
                shutil.rmtree(directory, ignore_errors=True)
                removed.append(match[1])
    return removed


def temporary_directories() -> list[Path]:
    """List the places that a server's directory may be in, the best first."""
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp"]  # noqa: S108 - what is made is private
    return [Path(place) for place in dict.fromkeys(places) if _PLAIN_PATH.fullmatch(place)]


def remove_shared_memory(prefix: str) -> None:
    """Remove the regions of shared memory whose names have a prefix."""
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        # Another user may have made one of such a name.
        with contextlib.suppress(OSError):
            region.unlink()


def python_environments() -> set[Path]:
    """List the directories for Python environments of all Tritons of this user."""
    found = set()
    for path in _PYTHON_ENVIRONMENTS.glob("python_env_??????"):
        with contextlib.suppress(OSError):
            if _is_own_directory(path):
                found.add(path)
    return found


def remove_python_environments(
    directories: set[Path], starts: Callable[[], Iterable[float]] = triton_start_times
) -> None:
    """Remove those directories for Python environments that are empty and that no Triton may need.

    Triton makes its own while it starts, and aborts at its end if that is missing; ``starts`` lists
    when the running tritonservers were started.
    """
    running = list(starts())
    for directory in directories:
        with contextlib.suppress(OSError):
            made = directory.stat().st_mtime
            if not any(start - _CLOCK_SECONDS < made < start + _INIT_SECONDS for start in running):
                directory.rmdir()


def record_python_environments(directory: Path, environments: set[Path]) -> None:
    """Record in a server's directory what `remove_abandoned` removes if its guardian is killed."""
    with contextlib.suppress(OSError):
        (directory / _ENVIRONMENTS).write_text("\n".join(map(str, environments)), "utf-8")


def is_free(lock: Path) -> bool:
    """Return whether no process holds a lock file, or the file does not exist."""
    try:
        # What another user may have put there must neither be followed nor waited for.
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        # In a server's directory: the process that removed it was killed before it was done.
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_own_directory(path: Path) -> bool:
    """Return whether it is a directory of this user, itself, not by a link."""
    facts = path.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()


def _is_usable(place: Path) -> bool:
    """Return whether files can be written there, and programs started."""
    try:
        mount = os.statvfs(place)
    except OSError:
        return False
    return os.access(place, os.W_OK | os.X_OK) and not mount.f_flag & os.ST_NOEXEC
