"""Runs programs that models need (pip, npm, Paddle), so that none outlives its caller."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonpose_server.models.errors import ConversionError

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = re.compile(r"^\s*(\[notice\]|WARNING\b|warnings\.warn|npm (?i:warn))|UserWarning:|^\s*$")


@dataclass(frozen=True)
class Outcome:
    """End of a program: exit status, negative for a signal, and all output without colors."""

    status: int
    output: str

    def last_lines(self, count: int = 8) -> str:
        """Return the end of the output without warnings, for error messages."""
        lines = [line for line in self.output.splitlines() if not _NOISE.search(line)]
        return "\n".join(["Its last lines:", *(lines[-count:] or ["(none)"])])


def run_tool(
    name: str,
    command: Sequence[str],
    *,
    timeout_s: float,
    on_line: Callable[[str], None] | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a program to its end, calling ``on_line`` with each line that it writes, as it comes.

    If it can't be started, or takes longer than ``timeout_s`` and is killed with whatever it
    started, `ConversionError` is raised. ``name`` is for messages; ``environment`` defaults to
    `process_environment`.
    """
    try:
        # A session of its own, so that whatever it starts can be ended with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd=directory,
            env=process_environment() if environment is None else environment,
            start_new_session=True,
        )
    except OSError as error:
        raise ConversionError(f"{name} can't be started: {error}") from error
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _kill(process)

    timer = threading.Timer(timeout_s, expire)
    timer.start()
    lines: list[str] = []
    with process:
        try:
            for line in process.stdout or ():
                lines.append(_COLORS.sub("", line))
                if on_line is not None:
                    on_line(lines[-1].rstrip())
            process.wait()
        except BaseException:
            _kill(process)
            # After Ctrl-C the context manager waits for a quarter of a second only.
            process.wait()
            raise
        finally:
            timer.cancel()
    outcome = Outcome(process.returncode, "".join(lines))
    if expired.is_set():
        raise ConversionError(
            f"{name} did not finish in {timeout_s:g} s and was ended. {outcome.last_lines()}"
        )
    return outcome


def process_environment() -> dict[str, str]:
    """Return the caller's environment with the libraries that set-up put beside our Python."""
    environment = dict(os.environ)
    libraries = [environment.get("LD_LIBRARY_PATH", ""), str(Path(sys.prefix) / "lib")]
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    return environment


def _kill(process: subprocess.Popen[str]) -> None:
    """End the process and what it started, which are one process group."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
