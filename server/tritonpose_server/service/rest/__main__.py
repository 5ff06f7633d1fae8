"""The REST service as a process of its own, started and watched by ``tritonpose serve``.

Not for people, who have ``tritonpose serve --url`` for it. The settings come on the standard
input, as they may hold secrets.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable

from tritonpose.cli.logs import LogOptions, log_service
from tritonpose_server.parent_death import die_with_parent
from tritonpose_server.service.rest.settings import RestSettings


def main() -> None:
    """Serve at a socket that is inherited."""
    parser = argparse.ArgumentParser(prog="python -m tritonpose_server.service.rest")
    parser.add_argument("--listener", type=int, required=True, help="descriptor of a socket")
    parser.add_argument("--heart", type=int, required=True, help="descriptor to write beats to")
    parser.add_argument("--parent", type=int, required=True, help="process to die with")
    options = parser.parse_args()
    # It owns the address, and whoever starts it again wants it free at once.
    die_with_parent(signal.SIGKILL, options.parent)
    settings, log = read_spec(sys.stdin.buffer.read())

    # Slow to import, and the parent's death is to be noticed meanwhile.
    from tritonpose_server.service.rest.run import run_rest

    log_service(log)
    with socket.socket(fileno=options.listener) as listener:
        run_rest(settings, listener=listener, ended=_beat(options.heart))


def write_spec(settings: RestSettings, log: LogOptions) -> bytes:
    """What the process reads from its standard input.

    Args:
        settings: How to serve.
        log: How to log.
    """
    return pickle.dumps((settings, log))


def read_spec(spec: bytes) -> tuple[RestSettings, LogOptions]:
    """The settings, and how to log, of what `write_spec` made."""
    # From the same program, through a pipe of which nobody else has an end.
    settings, log = pickle.loads(spec)  # noqa: S301
    return settings, log


def _beat(heart: int) -> Callable[[], bool]:
    """Gives `run_rest` something to ask in its event loop, which is a sign that this turns."""
    os.set_blocking(heart, False)

    def beat() -> bool:
        # Full where nobody listens for a while.
        with contextlib.suppress(BlockingIOError):
            os.write(heart, b".")
        return False

    return beat


if __name__ == "__main__":
    main()
