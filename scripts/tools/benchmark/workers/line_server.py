"""Lets another process call the methods of an object, one JSON line per call and answer.

Usage: ``python line_server.py FILE [ARGUMENT ...]``

FILE is a Python file with a function ``open_worker(*arguments)`` that makes the object. It ends
when its standard input does. What the object's libraries print goes to the standard error. Only
the standard library is used, for this runs in PaddleX's environment, too.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from typing import Any


def main(file: str, *arguments: str) -> None:
    """Serve the worker that a file defines."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Any = None
    try:
        worker = runpy.run_path(file)["open_worker"](*arguments)
        _tell(answers, {"value": None})
    except Exception as error:
        _tell(answers, _failure(error))
        return
    for line in sys.stdin:
        call = json.loads(line)
        try:
            value = getattr(worker, call["method"])(**call["arguments"])
            _tell(answers, {"value": value})
        except Exception as error:
            _tell(answers, _failure(error))


def _tell(answers: Any, content: dict[str, object]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _failure(error: Exception) -> dict[str, object]:
    return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main(*sys.argv[1:])
