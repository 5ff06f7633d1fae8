"""The REST service as a process that is started again when it dies or hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from tritonpose.cli.logs import LogOptions
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.service.rest.__main__ import write_spec
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.supervision.backoff import Backoff
from tritonpose_server.supervision.processes import REST_MODULE

LOGGER = logging.getLogger("tritonpose.server")

# Without a sign of life, of which there are two a second. Counted in looks, as a machine that
# stood still is no fault of the process.
_LOOK_SECONDS = 1.0
_LONGEST_SILENCE, _LONGEST_START = 6, 60

_POLL_SECONDS = 0.05


class RestProcess:
    """A supervised REST service.

    Its socket is not its own: while it is away, connections wait for the next one.

    Args:
        listener: The socket, bound to the service's address.
        settings: How to serve.
        log: How it logs.
    """

    def __init__(self, listener: socket.socket, settings: RestSettings, log: LogOptions) -> None:
        self._listener = listener
        self._settings = settings
        self._log = log
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._heart = -1
        self._start_at = 0.0
        self._fell: float | None = None
        self._became_ready: float | None = None
        self._next_look = 0.0
        self._silent = 0

    def look_after(self) -> None:
        """Start it unless it runs well; to be called a few times a second.

        Raises:
            EmbeddedServerError: It can't be started at all.
        """
        if self._process is None:
            if time.monotonic() >= self._start_at:
                self._start()
            return
        self._listen()
        status = self._process.poll()
        if status is not None:
            self._fall(f"the REST service has ended with status {status}")
        elif self._silent > (_LONGEST_START if self._became_ready is None else _LONGEST_SILENCE):
            self._fall("the REST service does not answer")

    def stop(self, insists: Callable[[], bool]) -> None:
        """Let it finish the requests under way, and end.

        Args:
            insists: Asked all the time whether to end at once, whatever is under way.
        """
        process = self._process
        if process is None:
            return
        process.terminate()
        # Its own bound, and something for Python's end.
        deadline = time.monotonic() + self._settings.shutdown_timeout + 5
        while process.poll() is None and not insists() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._clear()

    def _start(self) -> None:
        self._heart, heart = os.pipe()
        os.set_blocking(self._heart, False)
        listener = self._listener.fileno()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", REST_MODULE, f"--listener={listener}"),
                    *(f"--heart={heart}", f"--parent={os.getpid()}"),
                ],
                stdin=subprocess.PIPE,
                pass_fds=[listener, heart],
                # The working directory is no place to import from.
                env={**os.environ, "PYTHONSAFEPATH": "1"},
                # Ctrl-C in a terminal reaches the supervisor alone.
                start_new_session=True,
            )
        finally:
            os.close(heart)
        self._became_ready = None
        self._silent = 0
        self._next_look = time.monotonic() + _LOOK_SECONDS
        spec = write_spec(self._settings, self._log)
        if self._process.stdin:
            # It may have died already.
            with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
                pipe.write(spec)

    def _listen(self) -> None:
        """Note the signs of life since the last look."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self._heart, 4096):
                self._silent = 0
                self._note_ready()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._silent += 1

    def _note_ready(self) -> None:
        if self._became_ready is None:
            self._became_ready = time.monotonic()
            if self._fell is not None:
                seconds = self._became_ready - self._fell
                LOGGER.warning("supervisor: the REST service is ready again, %.1f s later", seconds)

    def _fall(self, fault: str) -> None:
        self._fell = time.monotonic()
        delay = self._backoff.after(self._became_ready)
        self._clear()
        if delay is None:
            raise EmbeddedServerError(f"{fault} before it was ready; its log is above")
        pause = f" in {delay:g} s" if delay else ""
        LOGGER.warning("supervisor: %s: starting it again%s", fault, pause)
        self._start_at = self._fell + delay

    def _clear(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            os.close(self._heart)
