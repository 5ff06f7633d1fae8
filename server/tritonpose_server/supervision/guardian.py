"""The process that owns tritonserver: whatever happens to its parent, nothing is left behind.

Runs a command and ends it when the parent closes its end of the standard input (or dies, which
closes it). However the command ends, its whole process tree is ended with it, its shared-memory
regions are removed and its directories deleted.

Told how to watch Triton, it also supervises: a server that was ready once is started again when it
dies, when it has lost the process of one of its models, or when it or a model of it hangs. Only
the standard library is used, so that it starts at once.

Usage: ``python -m tritonpose_server.supervision.guardian SHM_PREFIX DIRECTORY GRACE_SECONDS
COMMAND [ARG ...]``, with the settings of the watch, which hold a secret, in
``$TRITONPOSE_WATCH``; a command without them is run once.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tritonpose_server.parent_death import adopt_orphans, die_with_parent
from tritonpose_server.supervision.backoff import Backoff
from tritonpose_server.supervision.cleanup import (
    note_python_environments,
    python_environments,
    remove_python_environments,
    remove_shared_memory,
)
from tritonpose_server.supervision.processes import children
from tritonpose_server.supervision.triton_watch import TritonWatch, WatchSettings

WATCH_VARIABLE = "TRITONPOSE_WATCH"
"""Environment variable with the JSON of `WatchSettings`."""

DRAIN_VARIABLE = "TRITONPOSE_DRAIN_FILE"
"""Environment variable of the command: a file that is there once it is told to end."""

_POLL_SECONDS = 0.2


def main(arguments: list[str]) -> int:
    """Run the command under guard.

    Args:
        arguments: Prefix of the shared-memory regions to remove, directory to delete, seconds
            the command gets to end by itself, and the command.

    Returns:
        The command's exit status, negative for the signal that ended it.
    """
    shm_prefix, directory, grace, *command_line = arguments
    drain_file = Path(directory, "draining")
    os.environ[DRAIN_VARIABLE] = str(drain_file)
    text = os.environ.pop(WATCH_VARIABLE, None)
    settings = None if text is None else WatchSettings.from_json(text)
    # So that orphaned grandchildren can be found and ended.
    adopt_orphans()
    stop, backoff = _Stop(), Backoff()
    fell: float | None = None
    try:
        while True:
            run = _Run(command_line, shm_prefix, Path(directory), settings, fell)
            try:
                fault = run.watch(stop)
                delay = backoff.after(run.became_ready)
                if fault is None or delay is None:
                    # Already gone where somebody has deleted the directory.
                    with contextlib.suppress(OSError):
                        drain_file.touch()
                    return run.end(float(grace), stop)
                fell = time.monotonic()
                pause = f" in {delay:g} s" if delay else ""
                _tell(f"{fault}: starting the server again{pause}")
                run.command.kill()
                run.command.wait()
            finally:
                run.clean_up()
            if stop.wait(delay):
                return run.command.returncode
    finally:
        remove_shared_memory(shm_prefix)
        shutil.rmtree(directory, ignore_errors=True)


class _Stop:
    """Knows when to end: told by a signal, or by the end of the standard input or the parent.

    Attributes:
        insisted: Whether a signal came when the end was already under way.
    """

    def __init__(self) -> None:
        self.insisted = False
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
        self._received = True
        return True

    def _receive(self, _number: int, _frame: object) -> None:
        self.insisted = self._received
        self._received = True


class _Run:
    """One life of the command.

    Attributes:
        command: Its process.
    """

    def __init__(
        self,
        command_line: list[str],
        shm_prefix: str,
        directory: Path,
        settings: WatchSettings | None,
        predecessor_fell: float | None,
    ) -> None:
        self._shm_prefix = shm_prefix
        self._directory = directory
        self._predecessor_fell = predecessor_fell
        self._environments_before = python_environments()
        self._environments: set[Path] | None = None
        guardian = os.getpid()
        self.command = subprocess.Popen(
            command_line,
            stdin=subprocess.DEVNULL,
            # With the lock of the directory, where there is one.
            close_fds=False,
            # Should the guardian itself be killed.
            preexec_fn=lambda: die_with_parent(signal.SIGTERM, guardian),
        )
        self._watch = None if settings is None else TritonWatch(self.command.pid, settings)

    @property
    def became_ready(self) -> float | None:
        """When Triton was ready, on the monotonic clock; None before."""
        return self._watch.became_ready if self._watch else None

    def watch(self, stop: _Stop) -> str | None:
        """Wait for the command's end or a fault; return what happened, None for a wanted end."""
        while self.command.poll() is None:
            if stop.wait(_POLL_SECONDS):
                return None
            fault = self._watch.fault() if self._watch else None
            if fault:
                return fault
            if self._environments is None and self.became_ready is not None:
                self._now_ready()
        return f"it has ended with status {self.command.returncode}"

    def end(self, grace: float, stop: _Stop) -> int:
        """Ask the command to end, and kill it if a second signal asks so or it takes too long."""
        if self._watch:
            # First: Triton waits for open HTTP connections, those of probes included.
            self._watch.close()
        if self.command.poll() is None:
            self.command.terminate()
        deadline = time.monotonic() + grace
        while self.command.poll() is None:
            if stop.insisted or time.monotonic() > deadline:
                self.command.kill()
                self.command.wait()
                break
            time.sleep(_POLL_SECONDS / 10)
        return self.command.returncode

    def clean_up(self) -> None:
        """End what the command left running and remove what else it left."""
        if self._watch:
            self._watch.close()
        _kill_descendants()
        remove_shared_memory(self._shm_prefix)
        if self._environments is None:
            self._note_environments()
        remove_python_environments(self._environments or set())

    def _now_ready(self) -> None:
        self._note_environments()
        if self._predecessor_fell is not None:
            seconds = time.monotonic() - self._predecessor_fell
            _tell(f"the server is ready again, {seconds:.1f} s later")

    def _note_environments(self) -> None:
        # Perhaps with some of a Triton of another program that started at the same time: only
        # empty ones are removed, of which none has any use.
        self._environments = python_environments() - self._environments_before
        # For the case that this process is killed.
        note_python_environments(self._directory, self._environments)


def _tell(event: str) -> None:
    print(f"supervisor: {event}", flush=True)


def _kill_descendants() -> None:
    """Kill what the command left running, until nothing is left."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = children(os.getpid())
        if not left:
            return
        for child in left:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.exit(status if status >= 0 else 128 - status)
