"""Write files whole or not at all, and read files that others may have put something else for.

A full disk or an interrupt leaves what was there before.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_PREFIX, _SUFFIX = ".tritonpose-", ".tmp"


@contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Open a file that takes its place when the context ends without an error.

    Missing directories are made. Links are followed; pipes and devices are written to directly. A
    ``durable`` file in its place survives a crash of the machine.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        problem = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, problem, error.filename) from None
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    # Not of tempfile, whose files no other user may read. Readers of Parquet skip its dot.
    partial = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        try:
            file = partial.open("xb")
        except OSError as error:
            error.filename = os.fspath(path)
            raise
        with file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(target)
        if durable:
            directory = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
    finally:
        partial.unlink(missing_ok=True)


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read it, but no link in its place; of a pipe, wait for no writer."""
    flags = os.O_RDONLY
    # Windows lacks all but the last, which only it has.
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.fdopen(os.open(path, flags), "rb")


def remove_unfinished(directory: Path) -> None:
    """Remove what a process that was killed left of such files."""
    for path in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
        path.unlink(missing_ok=True)
