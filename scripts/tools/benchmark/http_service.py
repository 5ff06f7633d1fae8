"""A program that serves HTTP, run for as long as it is measured."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tools.errors import BenchmarkError
from tritonpose_server.models.paddle.tool_process import process_environment
from tritonpose_server.supervision import guardian

_START_SECONDS = 180.0
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.1
_SHOWN_LINES = 8


class HttpService:
    """A running service, ready to answer. Should this process die, it ends, too.

    Args:
        name: What messages call it.
        command: Given a directory of its own and a free port, the program and its arguments.
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
        self._name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        identity = f"tritonpose-benchmark-{secrets.token_hex(6)}"
        # Deleted by the guardian.
        directory = Path(tempfile.mkdtemp(prefix=f"{identity}-"))
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-m", guardian.__name__),
                *(identity, str(directory), str(_GRACE_SECONDS)),
                *command(directory, port),
            ],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**process_environment(), **(variables or {})},
            start_new_session=True,
        )
        try:
            self._wait_until_healthy(port)
        except BaseException:
            self.close()
            raise

    def processes(self) -> list[int]:
        """The service, without the guardian that looks after it."""
        return [child.pid for child in psutil.Process(self._process.pid).children()]

    def close(self) -> None:
        """Stop it and wait until all its processes have ended."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def _wait_until_healthy(self, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self._name} ended while starting:\n{self._last_lines()}")
            if _is_healthy(port):
                return
            time.sleep(_POLL_SECONDS)
        raise BenchmarkError(
            f"{self._name} was not ready after {_START_SECONDS:g} s:\n{self._last_lines()}"
        )

    def _last_lines(self) -> str:
        self._log.seek(0)
        return "\n".join(self._log.read().decode("utf-8", "replace").splitlines()[-_SHOWN_LINES:])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
