"""The process that owns tritonserver: whatever happens to its parent, nothing is left behind.

Runs a command and ends it when the parent closes its end of the standard input (or dies, which
closes it). However the command ends, its whole process tree is ended with it, its shared-memory
regions are removed and its directories deleted. Only the standard library is used, and nothing
of this package, so that it starts at once.

Usage: ``guardian.py SHM_PREFIX DIRECTORY GRACE_SECONDS COMMAND [ARG ...]``
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.2


def main(arguments: list[str]) -> int:
    """Run the command under guard.

    Args:
        arguments: Prefix of the shared-memory regions to remove, directory to delete, seconds
            the command gets to end by itself, and the command.

    Returns:
        The command's exit status, negative for the signal that ended it.
    """
    shm_prefix, directory, grace = arguments[0], Path(arguments[1]), float(arguments[2])
    # Orphaned grandchildren become ours, so that they can be found and ended.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    stop = _StopSignal()
    try:
        command = subprocess.Popen(
            arguments[3:], stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent
        )
        _wait_until_stopped(command, stop)
        _end(command, grace)
    finally:
        _kill_descendants()
        for region in Path("/dev/shm").glob(f"{shm_prefix}*"):  # noqa: S108
            region.unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)
    return command.returncode


class _StopSignal:
    """Remembers that a termination signal came."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, _number: int, _frame: object) -> None:
        self.received = True


def _wait_until_stopped(command: subprocess.Popen[bytes], stop: _StopSignal) -> None:
    """Return when the command has ended, the parent is gone or a signal has come."""
    parent = os.getppid()
    while command.poll() is None and not stop.received and os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
        if readable and not os.read(sys.stdin.fileno(), 1):
            return


def _end(command: subprocess.Popen[bytes], grace: float) -> None:
    """Ask the command to end, and kill it when it has not within ``grace`` seconds."""
    if command.poll() is not None:
        return
    command.terminate()
    try:
        command.wait(grace)
    except subprocess.TimeoutExpired:
        command.kill()
        command.wait()


def _kill_descendants() -> None:
    """Kill what the command left running, until nothing is left."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        children = _children()
        if not children:
            return
        for child in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _children() -> list[int]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(child) for child in path.read_text().split()]


def _die_with_parent() -> None:
    """Have the kernel end the command should the guardian itself be killed."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.exit(status if status >= 0 else 128 - status)
