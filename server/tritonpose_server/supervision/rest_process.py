"""Runs the REST service as a process that is restarted when it dies or hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable

from tritonpose.cli.logs import LogOptions
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.python_programs import isolated_python
from tritonpose_server.service.rest.__main__ import write_spec
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.supervision.backoff import Backoff
from tritonpose_server.supervision.processes import REST_MODULE

LOGGER = logging.getLogger("tritonpose.server")

# Checks without a heartbeat, of which there are two a second. Checks are counted, not seconds:
# while the whole machine stood still, the process could not send one.
_CHECK_SECONDS = 1.0
_LONGEST_SILENCE, _LONGEST_START = 6, 60

_POLL_SECONDS = 0.05


class RestProcess:
    """A supervised REST service.

    The supervisor holds its socket, bound to the service's address: connections wait while the
    process is restarted.
    """

    def __init__(self, listener: socket.socket, settings: RestSettings, log: LogOptions) -> None:
        self._listener = listener
        self.settings = settings
        self._log = log
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        # For its settings.
        self._is_waiting = False
        self._heartbeat_fd = -1
        self._start_at = 0.0
        self._died_at: float | None = None
        self._became_ready: float | None = None
        self._next_check = 0.0
        self._silent = 0

    def prepare(self) -> None:
        """Start it, to import its code; it gets its settings from `ensure_running`."""
        self._spawn()
        self._is_waiting = True

    def ensure_running(self) -> None:
        """Start it unless it runs well; call this a few times a second.

        Raises EmbeddedServerError if it ended before it was ever ready.
        """
        if self._process is None or self._is_waiting:
            if time.monotonic() >= self._start_at:
                self._start()
            return
        self._read_heartbeats()
        status = self._process.poll()
        if status is not None:
            self._handle_fault(f"the REST service has ended with status {status}")
        elif self._silent > (_LONGEST_START if self._became_ready is None else _LONGEST_SILENCE):
            self._handle_fault("the REST service does not answer")

    def stop(self, force: Callable[[], bool]) -> None:
        """Stop it once the requests in flight are finished, or ``force``, polled, returns true."""
        process = self._process
        if process is None:
            return
        process.terminate()
        # Its own bound, and some time for Python to exit.
        deadline = time.monotonic() + self.settings.shutdown_timeout + 5
        while process.poll() is None and not force() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._clear()

    def _start(self) -> None:
        process = self._process or self._spawn()
        self._is_waiting = False
        self._became_ready = None
        self._silent = 0
        self._next_check = time.monotonic() + _CHECK_SECONDS
        spec = write_spec(self.settings, self._log)
        if process.stdin:
            # It may have died already.
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(spec)

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._heartbeat_fd, sender = os.pipe()
        os.set_blocking(self._heartbeat_fd, False)
        listener = self._listener.fileno()
        try:
            self._process = subprocess.Popen(
                [
                    *(*isolated_python(), "-m", REST_MODULE, f"--listener={listener}"),
                    *(f"--heartbeat_fd={sender}", f"--parent={os.getpid()}"),
                ],
                stdin=subprocess.PIPE,
                pass_fds=[listener, sender],
                # Ctrl-C in a terminal reaches the supervisor alone.
                start_new_session=True,
            )
        finally:
            os.close(sender)
        return self._process

    def _read_heartbeats(self) -> None:
        """Record the heartbeats since the last call."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self._heartbeat_fd, 4096):
                self._silent = 0
                self._note_ready()
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + _CHECK_SECONDS
            self._silent += 1

    def _note_ready(self) -> None:
        if self._became_ready is None:
            self._became_ready = time.monotonic()
            if self._died_at is not None:
                seconds = self._became_ready - self._died_at
                LOGGER.warning("supervisor: the REST service is ready again, %.1f s later", seconds)

    def _handle_fault(self, fault: str) -> None:
        self._died_at = time.monotonic()
        delay = self._backoff.next_delay(self._became_ready)
        self._clear()
        if delay is None:
            raise EmbeddedServerError(f"{fault} before it was ready; its log is above")
        pause = f" in {delay:g} s" if delay else ""
        LOGGER.warning("supervisor: %s: restarting it%s", fault, pause)
        self._start_at = self._died_at + delay

    def _clear(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
            self._process = None
            os.close(self._heartbeat_fd)
