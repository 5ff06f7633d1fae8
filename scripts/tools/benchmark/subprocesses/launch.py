"""Start and stop programs to measure: workers whose methods can be called, and HTTP services."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from tools.errors import BenchmarkError
from tritonpose_server.models.programs import process_environment
from tritonpose_server.ports import bind
from tritonpose_server.supervision import guardian

_LINE_SERVER = Path(__file__).with_name("line_server.py")
_START_SECONDS = 180.0
_END_SECONDS = 10.0
_POLL_SECONDS = 0.1
_SHOWN_LINES = 8


class _Program:
    """A process whose log can be quoted, and which ends when its standard input is closed."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str] | None,
        *,
        log_output: bool,
        directory: Path | None = None,
    ) -> None:
        self._name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._log if log_output else subprocess.PIPE,
                stderr=self._log,
                encoding="utf-8",
                cwd=directory,
                env={**process_environment(), **(variables or {})},
                # Ctrl-C is for the benchmark, which then ends its programs in order.
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise BenchmarkError(f"{name} can't be started: {error}") from error

    def close(self) -> None:
        """End the process."""
        # The pipe is broken where the process has ended by itself.
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(3 * _END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _failure(self, what: str) -> BenchmarkError:
        """Make an error that quotes the end of the log."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()[-_SHOWN_LINES:]
        return BenchmarkError("\n".join([f"{self._name} {what}:", *lines]))


class WorkerProcess(_Program):
    """A process that serves the object of a worker file (see ``line_server``).

    Args:
        name: Name in messages.
        python: Python to run it with, and its options.
        file: The worker file.
        arguments: Arguments of its ``open_worker``.
        variables: Environment variables beside this process's own.

    Raises:
        BenchmarkError: It can't be started, or its object can't be made.
    """

    def __init__(
        self,
        name: str,
        python: Sequence[str],
        file: Path,
        arguments: Sequence[str],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        command = [*python, str(_LINE_SERVER), str(file), *arguments]
        super().__init__(name, command, variables, log_output=False)
        try:
            self._read_answer()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def call(self, method: str, **arguments: object) -> Any:
        """Call a method of the object.

        Args:
            method: Its name.
            **arguments: Its arguments, JSON-serializable.

        Raises:
            BenchmarkError: It raised an exception, or the process ended.
        """
        line = json.dumps({"method": method, "arguments": arguments})
        # Where the pipe is broken, there is no answer either.
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
        return self._read_answer()

    def _read_answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise self._failure(f"ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self._name} failed: {answer['error']}")
        return answer["value"]


class HttpService(_Program):
    """A service that is ready to answer; it ends when this process dies.

    Args:
        name: Name in messages.
        command: Given a directory of its own and a free port, returns the program and its
            arguments.
        variables: Environment variables beside this process's own.

    Attributes:
        url: Its address.

    Raises:
        BenchmarkError: It can't be started, or does not answer ``GET /health`` in time.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[Path, int], Sequence[str]],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        server_id = f"tritonpose-benchmark-{secrets.token_hex(6)}"
        # Deleted by the guardian.
        directory = Path(tempfile.mkdtemp(prefix=f"{server_id}-"))
        with bind("127.0.0.1", None) as holder:
            port: int = holder.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        guarded = [
            *(sys.executable, "-I", "-m", guardian.__name__),
            *(server_id, str(directory), str(_END_SECONDS)),
            *command(directory, port),
        ]
        super().__init__(name, guarded, variables, log_output=True, directory=directory)
        try:
            self._wait_until_healthy()
        except BaseException:
            self.close()
            raise

    def processes(self) -> list[int]:
        """List the service's process, without the guardian that owns it."""
        return [child.pid for child in psutil.Process(self._process.pid).children()]

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._failure("ended while starting")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health", timeout=5, trust_env=False).is_success:
                    return
            time.sleep(_POLL_SECONDS)
        raise self._failure(f"was not ready after {_START_SECONDS:g} s")
