"""What a service has on this machine: processes by what they do, memory."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psutil

from tritonpose_server.supervision.processes import service_processes

COMMAND, TRITON = "command", "triton"


def processes_by_role(root: int) -> dict[str, int]:
    """Processes of a ``tritonpose serve`` by what they do; models have their model's name.

    Args:
        root: The command's process.
    """
    found = {COMMAND: root}
    seen: Counter[str] = Counter()
    for process in service_processes(root):
        name = process.model if process.role == "model" and process.model else process.role
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} {seen[name]}"] = process.pid
    return found


def models(root: int) -> list[str]:
    """Names of the models that a ``tritonpose serve`` has processes of, sorted.

    Args:
        root: The command's process.
    """
    return sorted(
        {each.model for each in service_processes(root) if each.role == "model" and each.model}
    )


def resident_bytes(processes: Mapping[str, int]) -> dict[str, int]:
    """Resident memory by role, without shared memory, which is counted by itself."""
    found = {}
    for role, pid in processes.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = psutil.Process(pid).memory_info()
            found[role] = memory.rss - memory.shared
    return found


def shared_memory_bytes(processes: Mapping[str, int]) -> int:
    """Size of the shared-memory regions of the service's Triton."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess, KeyError):
        arguments = psutil.Process(processes[TRITON]).cmdline()
        identity = next(each for each in arguments if each.startswith("--id=")).split("=")[1]
        for path in Path("/dev/shm").glob(f"{identity}*"):  # noqa: S108
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
    return total
