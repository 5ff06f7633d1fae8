"""The process that owns tritonserver: whatever happens to its parent, nothing is left behind.

Runs a command and ends it when the parent closes its end of the standard input (or dies, which
closes it). However the command ends, its whole process tree is ended with it, its shared-memory
regions are removed and its directory is deleted.

With the settings of a watch it also supervises Triton: a server that was ready once is restarted
when it dies, when it has lost the process of one of its models, or when it or one of its models
hangs. Imports little, so that it starts at once.

Usage: ``python -m tritonpose_server.supervision.guardian SHM_PREFIX DIRECTORY GRACE_SECONDS
COMMAND [ARG ...]``, with the settings of the watch in ``$TRITONPOSE_WATCH``; a command without them
is run once. It inherits sockets that hold Triton's ports, and keeps them for as long as it runs.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tritonpose_pipeline.telemetry.otel import traces_endpoint
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.parent_death import adopt_orphans, die_with_parent
from tritonpose_server.ports import bind
from tritonpose_server.private_memory import keep_files_private
from tritonpose_server.supervision.backoff import Backoff
from tritonpose_server.supervision.cleanup import (
    is_free,
    python_environments,
    record_python_environments,
    remove_python_environments,
    remove_shared_memory,
)
from tritonpose_server.supervision.processes import children, connected_ports
from tritonpose_server.supervision.triton_watch import TritonWatch, WatchSettings

WATCH_VARIABLE = "TRITONPOSE_WATCH"
"""Environment variable with the JSON of `WatchSettings`."""

DRAIN_VARIABLE = "TRITONPOSE_DRAIN_FILE"
"""Environment variable of the command, naming a file that exists once shutdown has begun.

While requests are in flight, the pipeline holds a lock on a file beside it, `BUSY_SUFFIX`.
"""

BUSY_SUFFIX = ".busy"

_POLL_SECONDS = 0.5
_STOP_POLL_SECONDS = 0.02

_DRAIN_FILE = "draining"

# Of the time that the command gets to end: for Triton itself, once no request is in flight.
_EXIT_SECONDS = 5.0

# For a request of a composing model, which the pipeline does not know of, to be answered.
_IDLE_CLIENT_SECONDS = 1.0

# Triton answers all requests before the first process of a model ends. Then it waits a second for
# each process of a model, one after the other: many have nothing to do but to send the last spans.
_UNLOAD_SECONDS = 1.5


def main(arguments: list[str]) -> int:
    """Run the command under guard; return its exit status, negative for a signal that ended it."""
    shm_prefix, directory, grace, *command_line = arguments
    os.environ[DRAIN_VARIABLE] = str(Path(directory, _DRAIN_FILE))
    text = os.environ.pop(WATCH_VARIABLE, None)
    settings = None if text is None else WatchSettings(**json.loads(text))
    # So that orphaned grandchildren can be found and ended.
    adopt_orphans()
    stop, backoff = _StopRequest(), Backoff()
    died_at: float | None = None
    try:
        while True:
            if died_at is not None:
                command_line = _without_taken_metrics(command_line)
            run = _Run(command_line, shm_prefix, Path(directory), settings, died_at)
            try:
                fault = run.watch(stop)
                delay = backoff.next_delay(run.became_ready)
                if fault is None:
                    return run.end(float(grace), stop)
                if delay is not None:
                    died_at = time.monotonic()
                    pause = f" in {delay:g} s" if delay else ""
                    _report(f"{fault}: restarting the server{pause}")
                elif run.command.poll() is None:
                    _report(fault)
                run.command.kill()
                run.command.wait()
                if delay is None:
                    return run.command.returncode
            finally:
                run.clean_up()
            if stop.wait(delay):
                return run.command.returncode
    finally:
        remove_shared_memory(shm_prefix)
        shutil.rmtree(directory, ignore_errors=True)


class _StopRequest:
    """Waits for the request to stop: a signal, or the end of the standard input or the parent.

    ``repeated`` is whether a signal came after the request.
    """

    def __init__(self) -> None:
        self.repeated = False
        self._received = False
        self._stdin = sys.stdin.fileno()
        self._parent = os.getppid()
        self._signals, sender = os.pipe()
        for end in (self._signals, sender):
            os.set_blocking(end, False)
        # Handlers alone don't interrupt `select`.
        signal.set_wakeup_fd(sender)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)
        self._handles = [self._stdin, self._signals]
        # Without it, the parent's death is noticed after the next pause.
        with contextlib.suppress(OSError):
            self._handles.append(os.pidfd_open(self._parent))

    def wait(self, seconds: float, handles: Iterable[int] = ()) -> bool:
        """Wait for the request, for some seconds or until another descriptor is readable.

        Returns whether the request has come.
        """
        deadline = time.monotonic() + seconds
        others = list(handles)
        while not self._received and os.getppid() == self._parent:
            left = max(deadline - time.monotonic(), 0.0)
            readable, _, _ = select.select([*self._handles, *others], [], [], left)
            if self._stdin in readable and not os.read(self._stdin, 1):
                self._received = True
            elif not readable or not set(others).isdisjoint(readable):
                return self._received
        self._received = True
        return True

    def _receive(self, _number: int, _frame: object) -> None:
        self.repeated = self._received
        self._received = True


class _Run:
    """One run of the command."""

    def __init__(
        self,
        command_line: list[str],
        shm_prefix: str,
        directory: Path,
        settings: WatchSettings | None,
        predecessor_died_at: float | None,
    ) -> None:
        self._shm_prefix = shm_prefix
        self._directory = directory
        self._predecessor_died_at = predecessor_died_at
        self._environments_before = python_environments()
        self._environments: set[Path] | None = None
        guardian = os.getpid()
        self.command = subprocess.Popen(
            command_line,
            stdin=subprocess.DEVNULL,
            # With the lock of the directory, where there is one.
            close_fds=False,
            preexec_fn=lambda: _prepare_command(guardian),
        )
        # Without it, where the kernel is too old, the end is noticed after the next pause.
        self._handles: list[int] = []
        with contextlib.suppress(OSError):
            self._handles.append(os.pidfd_open(self.command.pid))
        self._watch = None if settings is None else TritonWatch(self.command.pid, settings)
        self._http_port = None if settings is None else int(settings.address.rpartition(":")[2])

    @property
    def became_ready(self) -> float | None:
        """When Triton was ready, on the monotonic clock; None before."""
        return self._watch.became_ready if self._watch else None

    def watch(self, stop: _StopRequest) -> str | None:
        """Wait for the command's end or a fault; return what happened, None for a stop request."""
        while self.command.poll() is None:
            pause = self._watch.poll_seconds if self._watch else _POLL_SECONDS
            stubs = self._watch.handles if self._watch else ()
            if stop.wait(pause, [*self._handles, *stubs]):
                return None
            fault = self._watch.fault() if self._watch else None
            if fault:
                return fault
            if self._environments is None and self.became_ready is not None:
                self._report_ready()
        return f"it has ended with status {self.command.returncode}"

    def end(self, grace: float, stop: _StopRequest) -> int:
        """Ask the command to end; kill it after a repeated signal or when it takes too long."""
        if self._watch:
            # First: Triton waits for open HTTP connections, those of probes included.
            self._watch.stop_probing()
        deadline = time.monotonic() + grace
        drained = self._drain(deadline - _EXIT_SECONDS, stop)
        if self.command.poll() is None:
            self.command.terminate()
        patience = time.monotonic() + _IDLE_CLIENT_SECONDS
        traced = traces_endpoint(os.environ) is not None
        stubs = self._watch.count_stubs() if self._watch else 0
        unloading_until = math.inf
        while self.command.poll() is None:
            now = time.monotonic()
            if drained and self._watch:
                left = self._watch.count_stubs()
                if left < stubs:
                    unloading_until = min(unloading_until, now + _UNLOAD_SECONDS)
                if not left or (now > unloading_until and not traced):
                    # All is answered. What is left of Triton takes a second to notice.
                    self.command.kill()
                    self.command.wait()
                    return 0
            if drained and now > patience and self._has_http_clients():
                # Triton would wait for them until its time is up, and then not end in order either.
                deadline = now
            if stop.repeated or now >= deadline:
                self.command.kill()
                self.command.wait()
                break
            time.sleep(_STOP_POLL_SECONDS)
        return self.command.returncode

    def clean_up(self) -> None:
        """End what the command left running and remove what else it left."""
        for handle in self._handles:
            os.close(handle)
        if self._watch:
            self._watch.close()
        _kill_descendants()
        remove_shared_memory(self._shm_prefix)
        if self._environments is None:
            self._record_environments()
        remove_python_environments(self._environments or set())

    def _has_http_clients(self) -> bool:
        """Check whether clients keep HTTP connections to Triton open."""
        port = self._http_port
        return port is not None and port in connected_ports(self.command.pid)

    def _drain(self, deadline: float, stop: _StopRequest) -> bool:
        """Make the pipeline refuse requests, await those in flight; return whether none is left.

        Triton itself stops the composing models while the pipeline still needs them.
        """
        drain_file = self._directory / _DRAIN_FILE
        # The directory may have been deleted already.
        with contextlib.suppress(OSError):
            drain_file.touch()
        busy = drain_file.with_name(_DRAIN_FILE + BUSY_SUFFIX)
        while self.command.poll() is None and not stop.repeated and time.monotonic() < deadline:
            # First: a request may have been admitted just before.
            time.sleep(_STOP_POLL_SECONDS)
            if is_free(busy):
                return True
        return False

    def _report_ready(self) -> None:
        self._record_environments()
        if self._predecessor_died_at is not None:
            seconds = time.monotonic() - self._predecessor_died_at
            _report(f"the server is ready again, {seconds:.1f} s later")

    def _record_environments(self) -> None:
        # May include some of another Triton that started at the same time: they are not removed
        # while that runs.
        self._environments = python_environments() - self._environments_before
        # For the case that this process is killed.
        record_python_environments(self._directory, self._environments)


def _prepare_command(guardian: int) -> None:
    """Prepare the process that becomes the command."""
    # Should the guardian itself be killed.
    die_with_parent(signal.SIGTERM, guardian)
    if not keep_files_private():
        _report(
            "this kernel has no seccomp filters: other users of this machine can read the photos "
            "in /dev/shm; run the service in a container, or where there are no other users"
        )


def _without_taken_metrics(command_line: list[str]) -> list[str]:
    """Leave the metrics out if another program has taken their port, which can't be held."""
    options = dict(word.split("=", 1) for word in command_line if "=" in word)
    address, port = (options.get(f"--metrics-{name}") for name in ("address", "port"))
    if address is not None and port is not None:
        try:
            # The prefix is for Triton alone.
            bind(address.removeprefix("ipv6:"), int(port)).close()
        except EmbeddedServerError as error:
            _report(f"the server goes on without metrics: {error}")
            return [*command_line, "--allow-metrics=false"]
    return command_line


def _report(event: str) -> None:
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
