"""Call the object of a worker file, which a process of its own serves (see ``line_server``)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.programs import Program

_SUBPROCESSES = Path(__file__).parent / "subprocesses"


class Worker(Program):
    """A process that serves the object of one of the files in ``subprocesses``."""

    def __init__(
        self,
        name: str,
        python: Sequence[str],
        file: str | Path,
        arguments: Sequence[str],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        command = [*python, str(_SUBPROCESSES / "line_server.py"), str(_SUBPROCESSES / file)]
        super().__init__(name, [*command, *arguments], variables, pipes=True)
        try:
            self._read_answer()
        except BaseException:
            self.close()
            raise

    def call(self, method: str, **arguments: object) -> Any:
        """Call a method of the object with JSON-serializable arguments."""
        line = json.dumps({"method": method, "arguments": arguments})
        # Where the pipe is broken, there is no answer either.
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()
        return self._read_answer()

    def _read_answer(self) -> Any:
        line = self.process.stdout.readline() if self.process.stdout is not None else ""
        if not line:
            raise self.failure(f"ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ToolError(f"{self.name} failed: {answer['error']}")
        return answer["value"]
