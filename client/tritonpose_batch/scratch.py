"""Keep a run's temporary files in one directory, and remove what a killed run left.

All temporary files of a run, Ray's and the servers', are in the directory, and the environment of
every process of the run names it: so the next run finds everything, whatever was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tritonpose.errors import ConfigError
from tritonpose.whole_files import remove_unfinished
from tritonpose_batch.job import Layout

_VARIABLE = "TMPDIR"
_PREFIX = "tpb-"
# Of the parent directory's path: Ray's sockets add 68 bytes to ours, and Linux allows 107.
_LONGEST_PARENT = 24
_SERVER = re.compile(r"(tritonpose-[0-9a-f]{12})-")


@contextmanager
def lone_run(layout: Layout) -> Iterator[Path]:
    """Lock a job for one run, after cleaning up what a killed one left.

    Yields a new directory, which programs started from here use for temporary files. It is removed
    at the end. ConfigError: another run works on this job.
    """
    layout.lock.parent.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another run works on {layout.root}; wait for it, or name another --output"
            ) from None
        clean_up(layout)
        parent = tempfile.gettempdir()
        with _scratch(layout, parent if len(parent) <= _LONGEST_PARENT else "/tmp") as directory:  # noqa: S108
            yield directory


def clean_up(layout: Layout) -> None:
    """Remove what the last run left, if it was killed: files, processes, shared memory."""
    remove_unfinished(layout.poses)
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        left = json.loads(layout.run.read_text("utf-8"))
        if left["host"] == socket.gethostname():
            _clean_scratch(Path(left["scratch"]))
    layout.run.unlink(missing_ok=True)


@contextmanager
def _scratch(layout: Layout, parent: str) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    before = os.environ.get(_VARIABLE)
    left = {"host": socket.gethostname(), "scratch": str(directory)}
    try:
        layout.run.write_text(json.dumps(left), "utf-8")
        os.environ[_VARIABLE] = str(directory)
        tempfile.tempdir = None
        yield directory
    finally:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before
        tempfile.tempdir = None
        _clean_scratch(directory)
        layout.run.unlink(missing_ok=True)


def _clean_scratch(directory: Path) -> None:
    """Kill the processes that use the directory, and remove it."""
    if not directory.name.startswith(_PREFIX):
        return
    for process in psutil.process_iter():
        # Others may have ended meanwhile, or be another user's.
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_VARIABLE) == str(directory) and process.pid != os.getpid():
                process.kill()
    if not directory.exists():
        return
    for entry in directory.iterdir():
        server = _SERVER.match(entry.name)
        if server:
            for region in Path("/dev/shm").glob(f"{server[1]}*"):  # noqa: S108
                region.unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
