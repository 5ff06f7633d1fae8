"""Mutual exclusion of threads and processes that change the same directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Wait until nobody else is in this block for the same directory.

    The lock is on the directory itself, so no lock file is left behind. It ends with the process
    and must not be nested.

    Args:
        directory: Exists.

    Raises:
        OSError: The directory can't be opened or locked.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
