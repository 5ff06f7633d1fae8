"""The process that owns tritonserver: whatever happens to its parent, nothing is left behind.

Runs a command and ends it when the parent closes its end of the standard input (or dies, which
closes it). However the command ends, its whole process tree is ended with it, its shared-memory
regions are removed and its directories deleted.

Told where Triton listens, it also supervises: a server that was ready once is started again when it
dies, or when it has lost the process of one of its models. Only the standard library is used, so
that it starts at once.

Usage: ``guardian.py SHM_PREFIX DIRECTORY GRACE_SECONDS ADDRESS COMMAND [ARG ...]``, where the
address is ``host:port`` of Triton's HTTP endpoint, or ``-`` for a command that is run once.
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

if __name__ == "__main__":
    # Run by its path, in isolated mode, which leaves out the place of this package.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tritonpose_server.triton_watch import TritonWatch

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.2


# Between attempts of a server that does not come up, or falls at once.
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_STEADY_SECONDS = 2.0

UNSUPERVISED = "-"


def main(arguments: list[str]) -> int:
    """Run the command under guard.

    Args:
        arguments: Prefix of the shared-memory regions to remove, directory to delete, seconds
            the command gets to end by itself, Triton's address, and the command.

    Returns:
        The command's exit status, negative for the signal that ended it.
    """
    shm_prefix, directory, grace, address, *command_line = arguments
    # Orphaned grandchildren become ours, so that they can be found and ended.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    stop, backoff = _Stop(), _Backoff()
    try:
        while True:
            command = subprocess.Popen(
                command_line, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent
            )
            watch = None if address == UNSUPERVISED else TritonWatch(command.pid, address)
            fault = _watch(command, watch, stop)
            delay = backoff.after(watch.became_ready if watch else None)
            if watch:
                watch.close()
            if fault is None or delay is None:
                _end(command, float(grace))
                return command.returncode
            print(f"supervisor: {fault}: starting the server again", flush=True)
            command.kill()
            command.wait()
            _clean_up(shm_prefix)
            if stop.wait(delay):
                return command.returncode
    finally:
        _clean_up(shm_prefix)
        shutil.rmtree(directory, ignore_errors=True)


class _Stop:
    """Knows when to end: told by a signal, or by the end of the standard input or the parent."""

    def __init__(self) -> None:
        self._received = False
        self._parent = os.getppid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)

    def wait(self, seconds: float) -> bool:
        """Wait for the end, so long at most; return whether it has come."""
        deadline = time.monotonic() + seconds
        while not self._received and os.getppid() == self._parent:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            readable, _, _ = select.select([sys.stdin], [], [], min(left, _POLL_SECONDS))
            if readable and not os.read(sys.stdin.fileno(), 1):
                self._received = True
        return True

    def _receive(self, _number: int, _frame: object) -> None:
        self._received = True


class _Backoff:
    """How long to wait before a server is started again."""

    def __init__(self) -> None:
        self._delay: float | None = None

    def after(self, became_ready: float | None) -> float | None:
        """Note that a server has fallen.

        Args:
            became_ready: When it was ready, on the monotonic clock; None if it never was.

        Returns:
            Seconds, None where no server was ever ready: then another attempt would fail, too.
        """
        if became_ready is None and self._delay is None:
            return None
        if became_ready is not None and time.monotonic() - became_ready > _STEADY_SECONDS:
            self._delay = 0.0
        else:
            self._delay = min(max(2 * (self._delay or 0.0), _FIRST_DELAY), _LONGEST_DELAY)
        return self._delay


def _watch(command: subprocess.Popen[bytes], watch: TritonWatch | None, stop: _Stop) -> str | None:
    """Wait for the command's end or a fault; return what happened, None for a wanted end."""
    while command.poll() is None:
        if stop.wait(_POLL_SECONDS):
            return None
        fault = watch.fault() if watch else None
        if fault:
            return fault
    return f"it has ended with status {command.returncode}"


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


def _clean_up(shm_prefix: str) -> None:
    """End what the command left running and remove its shared memory."""
    _kill_descendants()
    for region in Path("/dev/shm").glob(f"{shm_prefix}*"):  # noqa: S108
        region.unlink(missing_ok=True)


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
