"""How a command ends: exit statuses, and errors in one line of standard error."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tritonpose.cli.console import print_error
from tritonpose.errors import ConfigError, TritonPoseError

FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130
# As the shell reports a program that a closed pipe ended.
BROKEN_PIPE = 141

LOGGER = logging.getLogger("tritonpose")


def exit_status(command: Callable[[], int]) -> int:
    """Run a command and tell its errors in one line each.

    Args:
        command: Does the work and returns its exit status.

    Returns:
        That status; 1 for a failure, 2 for a wrong configuration, 130 after Ctrl-C, 141 where the
        reader of standard output went away.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal's encoding lacks is no reason to stop.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more when it exits, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except ConfigError as error:
        print_error(str(error))
        return USAGE_ERROR
    except (TritonPoseError, OSError) as error:
        print_error(str(error))
        return FAILED
    except ModuleNotFoundError as error:
        print_error(f"{error}: this needs more than the client, pip install 'tritonpose[server]'")
        return FAILED
    except Exception as error:
        LOGGER.debug("unexpected error", exc_info=True)
        print_error(f"unexpected {type(error).__name__} at {_place(error)}: {error}")
        return FAILED
    return status


def _place(error: Exception) -> str:
    """File and line that raised an error, for whoever reports it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
