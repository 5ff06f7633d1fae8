"""Talk to the user on standard error, or in the log, and end: standard output is for results."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tritonpose.cli.logs import is_json_log
from tritonpose.errors import ConfigError, TritonPoseError
from tritonpose.extras import missing_extra

FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130
# As the shell reports a program that a closed pipe ended.
BROKEN_PIPE = 141

LOGGER = logging.getLogger("tritonpose")


_quiet = False


def be_quiet() -> None:
    """Print nothing of what is going on from now on: ``--quiet``. Warnings and errors stay."""
    global _quiet
    _quiet = True


def is_quiet() -> bool:
    """Check whether the user wants to know only of what is wrong."""
    return _quiet


def print_status(line: str) -> None:
    """Print what is going on, unless the user doesn't want to know."""
    if is_json_log():
        LOGGER.info(line)
    elif not _quiet:
        print(f"[tritonpose] {line}", file=sys.stderr, flush=True)


def print_warning(line: str) -> None:
    """Print what may be wrong."""
    if is_json_log():
        LOGGER.warning(line)
    else:
        print(f"[tritonpose] warning: {line}", file=sys.stderr, flush=True)


def print_error(message: str) -> None:
    """Print an error."""
    if is_json_log():
        LOGGER.error(message)
    else:
        print(f"error: {message}", file=sys.stderr, flush=True)


def closest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that was probably meant."""
    # Imported where something is wrong.
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, 1, 0.7)), None)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print Python's warnings for users as lines, each once."""
    usual = warnings.showwarning
    # The same file may be read in several places.
    shown = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if category is UserWarning:
            if str(message) not in shown:
                print_warning(str(message))
            shown.add(str(message))
        else:
            usual(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


def exit_status(run: Callable[[], int], command: str | None = None) -> int:
    """Run a command and print its errors in one line each.

    The status is that of ``run``; 1 for a failure, 2 for a wrong configuration, 130 after Ctrl-C,
    141 where the reader of standard output went away. Errors about a missing package name
    ``command``.
    """
    global _quiet
    _quiet = False
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal's encoding lacks is no reason to stop.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _warnings_as_lines():
            status = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except ConfigError as error:
        print_error(str(error))
        return USAGE_ERROR
    except (TritonPoseError, OSError) as error:
        print_error(_reason(error))
        _flush_output()
        return FAILED
    except MemoryError:
        print_error("there is not enough memory for this")
        return FAILED
    except Exception as error:
        sentence = missing_extra(error, command) if isinstance(error, ImportError) else None
        LOGGER.debug("unexpected error", exc_info=True)
        print_error(sentence or f"unexpected {type(error).__name__} at {_place(error)}: {error}")
        return FAILED
    return status


def _reason(error: TritonPoseError | OSError) -> str:
    """Say what went wrong; of the system's errors without their numbers."""
    if isinstance(error, TritonPoseError) or not error.strerror:
        return str(error)
    return error.strerror + (f": {error.filename!r}" if error.filename is not None else "")


def _open_standard_streams() -> None:
    """Open what the caller closed (``2>&-``) as the null device.

    Otherwise the next file to be opened, which may be anybody's, would get what is printed.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _flush_output() -> None:
    """Flush once more, so that Python doesn't complain when it exits that it can't."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _discard_output()


def _discard_output() -> None:
    """Send what is left of the output, which Python flushes when it exits, to the null device."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _place(error: Exception) -> str:
    """Find the file and line that raised an error, for bug reports."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
