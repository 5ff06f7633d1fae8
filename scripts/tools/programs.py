"""Programs that a tool runs beside itself: started with a log, waited for, and ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import httpx

from tools.errors import ToolError
from tritonpose_server.models.programs import process_environment
from tritonpose_server.ports import bind

_END_SECONDS = 60.0
_POLL_SECONDS = 0.1
_SHOWN_LINES = 12


class Program:
    """A running program whose log can be quoted.

    With `pipes`, its standard input and output are pipes; otherwise it reads nothing, and its
    output goes to the log, as its errors always do.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        pipes: bool = False,
    ) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else self._log,
                stderr=self._log,
                encoding="utf-8",
                env={**process_environment(), **(variables or {})},
                # Ctrl-C is for the tool, which then ends its programs in order.
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise ToolError(f"{name} can't be started: {error}") from error

    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def failure(self, what: str) -> ToolError:
        """Make an error that quotes the end of the log."""
        # Read at a position of its own: the process writes at the file's.
        log = os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0)
        lines = log.decode("utf-8", "replace").splitlines()[-_SHOWN_LINES:]
        return ToolError("\n".join([f"{self.name} {what}:", *lines]))

    def wait_until_ready(self, url: str, seconds: float) -> None:
        """Wait until a URL of the program answers with success; ends the program if it does not."""
        try:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if self.ended():
                    raise self.failure("ended while starting")
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(url, timeout=5, trust_env=False).is_success:
                        return
                time.sleep(_POLL_SECONDS)
            raise self.failure(f"was not ready after {seconds:g} s")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process: by the end of its input, if that is a pipe, else by SIGTERM."""
        if self.process.stdin is None:
            self.process.terminate()
        else:
            # The pipe is broken where the process has ended by itself.
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


def free_ports(count: int) -> list[int]:
    """Find ports of this machine that nothing listens on."""
    with ExitStack() as holders:
        # All held at once, so that they differ.
        sockets = [holders.enter_context(bind("127.0.0.1", None)) for _ in range(count)]
        return [holder.getsockname()[1] for holder in sockets]
