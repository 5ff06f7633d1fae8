"""What another user of this machine can do."""

from __future__ import annotations

import json
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

OTHER_USER = 65534


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
