"""The REST service as a process of its own, started and watched by ``tritonpose serve``.

Not meant to be started by hand: that is ``tritonpose serve --url``. The settings come on the
standard input, as they may hold secrets.
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
    """Serve at an inherited socket."""
    parser = argparse.ArgumentParser(prog="python -m tritonpose_server.service.rest")
    parser.add_argument("--listener", type=int, required=True, help="descriptor of a socket")
    parser.add_argument("--heartbeat_fd", type=int, required=True, help="descriptor to write to")
    parser.add_argument("--parent", type=int, required=True, help="process to die with")
    options = parser.parse_args()
    # This process owns the address, which the next one needs at once.
    die_with_parent(signal.SIGKILL, options.parent)
    # Slow to import: only after the parent's death is watched, and while it prepares the settings.
    from tritonpose_server.service.rest.run import run_rest

    # From the same program, through a pipe that nobody else can write to.
    settings, log = pickle.load(sys.stdin.buffer)  # noqa: S301
    log_service(log)
    with socket.socket(fileno=options.listener) as listener:
        run_rest(settings, listener=listener, ended=_beat(options.heartbeat_fd))


def write_spec(settings: RestSettings, log: LogOptions) -> bytes:
    """Write what the process reads from its standard input."""
    return pickle.dumps((settings, log))


def _beat(heartbeat_fd: int) -> Callable[[], bool]:
    """Make a callback for `run_rest` that writes a sign of life from its event loop."""
    os.set_blocking(heartbeat_fd, False)

    def beat() -> bool:
        # The pipe is full where the parent has not read for a while.
        with contextlib.suppress(BlockingIOError):
            os.write(heartbeat_fd, b".")
        return False

    return beat


if __name__ == "__main__":
    main()
