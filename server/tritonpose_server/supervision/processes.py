"""Which processes a running service has, by what they do."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["guardian", "triton", "pipeline", "hps", "model", "rest"]
"""What a process does: own Triton, be Triton, run a model in Triton's name, or serve REST."""

GUARDIAN_MODULE = "tritonpose_server.supervision.guardian"
REST_MODULE = "tritonpose_server.service.rest"

_TRITON = "/tritonserver"
_STUB = "triton_python_backend_stub"

# Of a stub's arguments: the name of its shared memory, and that of its model's instance,
# "MODEL_<group>_<number>".
_REGION_ARGUMENT = 2
_INSTANCE_ARGUMENT = 8

_KILL_SECONDS = 5.0

_ROLES_OF_MODELS: dict[str, Role] = {
    "human_keypoint_detection": "pipeline",
    "human-keypoint-detection": "hps",
}


@dataclass(frozen=True)
class ServiceProcess:
    """A process of a service.

    Attributes:
        pid: Its number.
        role: What it does.
        model: Triton's name of the model that it runs; None where it runs none.
    """

    pid: int
    role: Role
    model: str | None = None


def service_processes(pid: int) -> list[ServiceProcess]:
    """Find the processes of a service, by what they do.

    Processes come and go meanwhile: one that starts or ends may be missing.

    Args:
        pid: ``tritonpose serve``, or another program that has started an embedded server.

    Returns:
        Those below it that have a role, parents before their children.
    """
    found = []
    for child in children(pid):
        process = _classify(child)
        if process is not None:
            found.append(process)
        found += service_processes(child)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process, or any thread of it, has started and that still exist."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        # Threads and processes may end at any moment.
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used; 0 if it is gone."""
    try:
        # After the name, which may hold anything, in parentheses; see proc_pid_stat(5).
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill_processes_of(identity: str) -> None:
    """Kill tritonserver and stubs of a server, and wait until they are gone.

    Args:
        identity: The server's name, with which also the names of its shared memory begin.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < deadline:
        pids = [pid for pid in _all_pids() if _belongs_to(_command_line(pid), identity)]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def stub_instance(pid: int) -> str | None:
    """The instance that a stub of Triton's Python backend runs, ``MODEL_<group>_<number>``.

    Returns:
        None for any other process.
    """
    return _stub_instance(_command_line(pid))


def model_of(instance: str) -> str:
    """The model that an instance belongs to."""
    return instance.rsplit("_", 2)[0]


def _classify(pid: int) -> ServiceProcess | None:
    arguments = _command_line(pid)
    instance = _stub_instance(arguments)
    if instance is not None:
        model = model_of(instance)
        return ServiceProcess(pid, _ROLES_OF_MODELS.get(model, "model"), model)
    # An interpreter, its options, and what it runs.
    program = arguments[:5]
    if GUARDIAN_MODULE in program:
        return ServiceProcess(pid, "guardian")
    if program and program[0].endswith(_TRITON):
        return ServiceProcess(pid, "triton")
    if REST_MODULE in program:
        return ServiceProcess(pid, "rest")
    return None


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _belongs_to(arguments: Sequence[str], identity: str) -> bool:
    if arguments and arguments[0].endswith(_TRITON):
        return f"--id={identity}" in arguments
    return _stub_instance(arguments) is not None and arguments[_REGION_ARGUMENT].startswith(
        identity
    )


def _stub_instance(arguments: Sequence[str]) -> str | None:
    if len(arguments) > _INSTANCE_ARGUMENT and arguments[0].endswith(_STUB):
        return arguments[_INSTANCE_ARGUMENT]
    return None


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").split("\0")
    except OSError:
        return []
