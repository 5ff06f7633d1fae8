"""What a server has on this machine: processes, shared memory, directories."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tritonpose_server.supervision.cleanup import temporary_directories


def descendants(pid: int) -> list[int]:
    """Processes below a process, sorted."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *descendants(child)]
    return sorted(found)


def shared_memory(server_id: str) -> dict[str, int]:
    """Sizes of a server's shared-memory regions by name."""
    return {path.name: path.stat().st_size for path in Path("/dev/shm").glob(f"{server_id}*")}


def directories(server_id: str) -> list[Path]:
    """A server's temporary directories."""
    return [each for place in temporary_directories() for each in place.glob(f"{server_id}*")]


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether a condition comes true within a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
