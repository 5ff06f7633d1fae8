"""Forwards tritonserver's output to Python's logging."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from typing import IO

LOGGER = logging.getLogger("tritonpose.triton")

# The level letter, date, time, thread, source file and line that begin Triton's lines.
_PREFIX = re.compile(
    r"(?P<level>[EWIV])\d{4} [\d:.]+ \d+ (?P<source>[\w.]+:\d+)\] ?(?P<message>.*)", re.DOTALL
)
_LEVELS = {"E": logging.ERROR, "W": logging.WARNING, "I": logging.DEBUG, "V": logging.DEBUG}

# Prefix of the guardian's lines.
SUPERVISOR = "supervisor: "

# Logged by Triton on every machine without a GPU: many warnings, and these errors.
_NO_GPU = re.compile(r"cuda|gpu|dcgm|nvml|nvidia|pinned memory", re.IGNORECASE)
_NO_GPU_ERRORS = ("CudaDriverHelper has not been initialized", "Failed to initialize NVML")


class LogForwarder:
    """Reads a stream of lines in a thread of its own and logs them.

    Keeps the last lines, for the message of an error that ends the server.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        """Start reading; the thread ends with the stream."""
        self._stream = stream
        self._important: deque[str] = deque(maxlen=20)
        self._recent: deque[str] = deque(maxlen=20)
        self._thread = threading.Thread(target=self._run, name="triton-log", daemon=True)
        self._thread.start()

    def tail(self) -> str:
        """Return the last errors and unclassified lines, or the last lines if there are none."""
        return "\n".join(self._important or self._recent)

    def close(self) -> None:
        """Wait until the stream has been read to its end."""
        self._thread.join(timeout=5)

    def _run(self) -> None:
        with self._stream:
            for raw in self._stream:
                self._forward(raw.decode("utf-8", "replace").rstrip())

    def _forward(self, line: str) -> None:
        if not line:
            return
        self._recent.append(line)
        match = _PREFIX.match(line)
        if match is None:
            if line.startswith(SUPERVISOR):
                self._important.append(line)
                LOGGER.warning("%s", line)
                return
            # Tables, tracebacks of Python models, and what libraries print.
            decoration = line.lstrip().startswith(("+", "|")) or line.endswith(_NO_GPU_ERRORS)
            if not decoration:
                self._important.append(line)
            LOGGER.log(logging.DEBUG if decoration else logging.INFO, "%s", line)
            return
        level = _LEVELS[match["level"]]
        message = match["message"].strip('"')
        if message.startswith(_NO_GPU_ERRORS) or (
            level == logging.WARNING and _NO_GPU.search(message)
        ):
            level = logging.DEBUG
        if level >= logging.ERROR:
            self._important.append(message)
        LOGGER.log(level, "%s (%s)", message, match["source"])
