"""This side of a worker: a process whose object's methods can be called."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tools.errors import BenchmarkError
from tritonpose_server.models.paddle.tool_process import process_environment

_LINE_SERVER = Path(__file__).with_name("line_server.py")
_END_SECONDS = 10.0
_SHOWN_LINES = 8


class WorkerProcess:
    """A process that serves the object of a worker file; a context manager.

    Args:
        name: What messages call it.
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
        self._name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self._process = subprocess.Popen(
                [*python, str(_LINE_SERVER), str(file), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                encoding="utf-8",
                env={**process_environment(), **(variables or {})},
            )
        except OSError as error:
            raise BenchmarkError(f"{name} can't be started: {error}") from error
        try:
            self._take_answer()
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
            **arguments: Its arguments, JSON-serialisable.

        Raises:
            BenchmarkError: It raised an exception, or the process ended.
        """
        line = json.dumps({"method": method, "arguments": arguments})
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        return self._take_answer()

    def close(self) -> None:
        """End the process."""
        # The pipe is broken where the process has ended by itself.
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _take_answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self._name} failed: {answer['error']}")
        return answer["value"]

    def _ended(self) -> BenchmarkError:
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()[-_SHOWN_LINES:]
        return BenchmarkError("\n".join([f"{self._name} ended with status {status}:", *lines]))
