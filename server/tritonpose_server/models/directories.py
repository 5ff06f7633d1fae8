"""Directories that several processes use: one writes at a time, and readers see them whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Directories that are being written or removed; hidden, so that no server loads them.
_PART_SUFFIX = ".tritonpose-part"
# No write takes this long: an older part was left behind by a process that was killed.
_ABANDONED_AFTER_S = 24 * 3600.0


@contextlib.contextmanager
def locked_directory(
    directory: Path, progress: Callable[[str], None] = lambda _line: None
) -> Iterator[None]:
    """Wait until no other thread or process is in this block for the same, existing directory.

    ``progress`` gets a line where there is a wait. The directory itself is locked: a lock file, as
    ``filelock`` leaves one, would stay behind in model repositories and directories of the user's.
    The lock ends with the process and must not be nested.
    """
    if fcntl is None:
        # Of writers at the same time, the last one's directory stays.
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for {_holder(descriptor)}, which is writing in {directory}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """Fill an empty directory beside ``target`` that takes its place when all went well."""
    staging = part_directory(target)
    try:
        yield staging
        staging.chmod(0o755)
        while not _swap(staging, target):
            pass
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def part_directory(target: Path) -> Path:
    """Make an empty hidden directory beside ``target`` and remove abandoned ones."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for part in target.parent.glob(f".*{_PART_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(part)
    return Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=_PART_SUFFIX, dir=target.parent))


def _swap(staging: Path, target: Path) -> bool:
    """Put ``staging`` in the place of ``target``, which may exist.

    False where another process was between the two steps first.
    """
    retired = part_directory(target)
    with contextlib.suppress(FileNotFoundError):
        target.rename(retired)
    try:
        staging.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    finally:
        shutil.rmtree(retired)
    return True


def _holder(descriptor: int) -> str:
    """Name the process that has locked a file, as far as the system tells."""
    inode = str(os.fstat(descriptor).st_ino)
    with contextlib.suppress(OSError, IndexError):
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
                return f"process {fields[4]}"
    return "another process"
