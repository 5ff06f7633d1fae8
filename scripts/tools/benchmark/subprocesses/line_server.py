"""Let another process call the methods of an object, one JSON line per call and answer.

Usage: ``python line_server.py FILE [ARGUMENT ...]``

FILE is a Python file whose function ``open_worker(*arguments)`` makes the object, which has the
methods ``estimate(sample)`` and ``people(estimated)``, in PaddleX's format, and further ones. The
server adds ``answer(sample)`` and ``time_each(samples)``. It ends when its standard input does.
What the object's libraries print goes to the standard error. Only the standard library is used,
because this runs in PaddleX's environment, too.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from typing import Any


class _Timed:
    """Adds methods to a worker."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)

    def answer(self, sample: dict[str, Any]) -> Any:
        return self._worker.people(self._worker.estimate(sample))

    def time_each(self, samples: list[dict[str, Any]]) -> list[float]:
        """Measure the seconds that each image takes, one after the other."""
        seconds = []
        for sample in samples:
            began = time.perf_counter()
            self._worker.estimate(sample)
            seconds.append(time.perf_counter() - began)
        return seconds


def main(file: str, *arguments: str) -> None:
    """Serve the worker that a file defines."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(**content: object) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    worker: Any = None
    try:
        worker = _Timed(runpy.run_path(file)["open_worker"](*arguments))
    except Exception as error:
        send(error=f"{type(error).__name__}: {error}")
        return
    send(value=None)
    for line in sys.stdin:
        call = json.loads(line)
        try:
            send(value=getattr(worker, call["method"])(**call["arguments"]))
        except Exception as error:
            send(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
