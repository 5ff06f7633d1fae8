"""What another user of this machine can do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

OTHER_USER = 65534
ORDINARY_USER = 12345


def needs_other_user() -> None:
    """Skip the test where this process can't become another user."""
    if os.getuid() != 0:
        pytest.skip("only root can act as another user of the machine")


def as_other_user(action: Callable[[], Any], uid: int = OTHER_USER) -> Any:
    """Call a function as another user, in a process of its own; return what it returns, by JSON.

    An OSError becomes its class's name.
    """
    needs_other_user()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # The child does nothing with what other threads may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            try:
                answer = action()
            except OSError as error:
                answer = type(error).__name__
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0
    return json.loads(content)


def run_as_ordinary_user(*owned: Path) -> list[str]:
    """Give files to an ordinary user; return a program that runs another one as that user.

    It may read what it does not own, as this Python may be in the home of root. Skips the test
    where there is no such program.
    """
    needs_other_user()
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("setpriv (util-linux) is needed to run a service as another user")
    for top in owned:
        for path in (top, *top.rglob("*")):
            os.chown(path, ORDINARY_USER, ORDINARY_USER)
    identity = [f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups"]
    return [program, *identity, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def ports_taken(ports: Sequence[int], seconds: float) -> int:
    """Try for some seconds to get ports, however they are held; count how often it worked."""
    deadline = time.monotonic() + seconds
    taken = 0
    while time.monotonic() < deadline:
        for port in ports:
            with socket.socket() as thief:
                for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                    thief.setsockopt(socket.SOL_SOCKET, option, 1)
                with contextlib.suppress(OSError):
                    thief.bind(("127.0.0.1", port))
                    taken += 1
        time.sleep(0.01)
    return taken
