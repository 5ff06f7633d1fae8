"""What all instances of the pipeline together use of their common limits.

Each instance is a process of its own. All map one small file, in which each writes what it uses
itself, and reads what all use: no lock is taken for a request.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import tempfile
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.errors import ModelError

REQUESTS, PIXELS = 0, 1
"""What is counted: requests in flight, and pixels of decoded images."""

MOST_INSTANCES = 256
"""Far more than there are, also while models are loaded again and old instances remain."""

_ITEM_BYTES = 8


class Usage:
    """What this process uses of common limits, beside other processes. Thread-safe."""

    def __init__(self, file: Path | None = None) -> None:
        """Share a file, made if it is missing, with other processes; None shares with nobody.

        ModelError: the file is another user's, or there are too many processes.
        """
        self._mutex = threading.Lock()
        self._path = file
        self._descriptor: int | None = None
        self._own = 0
        self._used: npt.NDArray[np.int64] = np.zeros((2, 1), np.int64)
        if file is not None:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                self._join(self._descriptor)
            except BaseException:
                os.close(self._descriptor)
                raise

    @property
    def is_shared(self) -> bool:
        """Return whether other processes may change what is used."""
        return self._descriptor is not None

    def take(self, what: int, amount: int, limit: int, *, alone: bool = False) -> bool:
        """Use some more, unless all together would use more than the limit.

        ``alone``: whatever the amount, it may be taken where nothing else is used.
        """
        with self._mutex:
            # Written first: of two processes at a time both may fail, but never both succeed.
            self._used[what, self._own] += amount
            together = self.together(what)
            if together <= limit or (alone and together == amount):
                return True
            self._used[what, self._own] -= amount
            return False

    def give_back(self, what: int, amount: int) -> None:
        """Use less."""
        with self._mutex:
            self._used[what, self._own] -= amount

    def together(self, what: int) -> int:
        """Return what all use together."""
        return int(self._used[what].sum())

    def close(self) -> None:
        """Leave the others, and remove the file where there are none."""
        if self._descriptor is None or self._path is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        self._used[:, self._own] = 0
        if _lock(descriptor, 0, MOST_INSTANCES):
            self._path.unlink(missing_ok=True)
        # Closing it does not do that: the memory that is mapped keeps the file open.
        _lock(descriptor, 0, MOST_INSTANCES, release=True)
        os.close(descriptor)

    def _join(self, descriptor: int) -> None:
        """Take a place in the file that no living process has."""
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise ModelError(f"{self._path} belongs to another user: remove it")
        size = 2 * MOST_INSTANCES * _ITEM_BYTES
        os.ftruncate(descriptor, size)
        mapped = np.frombuffer(mmap.mmap(descriptor, size), np.int64)
        self._used = mapped.reshape(2, MOST_INSTANCES)
        for place in range(MOST_INSTANCES):
            # The kernel gives it up when the process ends, however it does.
            if _lock(descriptor, place, 1):
                self._own = place
                self._used[:, place] = 0
                return
        raise ModelError(f"{MOST_INSTANCES} instances of the pipeline use {self._path} already")


def common_file(drain_file: str | None) -> Path:
    """Name the file of all instances of one tritonserver, which is their parent process.

    It lies beside the launcher's file for shutdown, else in the directory for temporary files.
    """
    directory = tempfile.gettempdir() if drain_file is None else os.path.dirname(drain_file)  # noqa: PTH120
    return Path(directory, f"tritonpose-limits-{os.getppid()}")


def _lock(descriptor: int, start: int, length: int, *, release: bool = False) -> bool:
    """Lock bytes of a file for as long as it is open here, unless others have; or release them."""
    # Only on Linux, where Triton is; the client uses this module on other systems, too.
    import fcntl

    # `struct flock` of <fcntl.h>.
    kind = fcntl.F_UNLCK if release else fcntl.F_WRLCK
    wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    with contextlib.suppress(BlockingIOError, PermissionError):
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        return True
    return False
