"""Finds the processes of a running service, by what they do."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Role = Literal["guardian", "triton", "pipeline", "hps", "model", "rest"]
"""What a process does: own Triton, be Triton, run a model for Triton, or serve REST."""

GUARDIAN_MODULE = "tritonpose_server.supervision.guardian"
REST_MODULE = "tritonpose_server.service.rest"

_TRITON = "/tritonserver"
_STUB = "triton_python_backend_stub"

# Of a stub's arguments: the name of its shared memory, and that of its model's instance,
# "MODEL_<group>_<number>".
_REGION_ARGUMENT = 2
_INSTANCE_ARGUMENT = 8

_KILL_SECONDS = 5.0

# A shell's exit statuses for a program that can't be executed, or isn't there.
_NOT_RUN = (126, 127)

_ROLES_OF_MODELS: dict[str, Role] = {
    "human_keypoint_detection": "pipeline",
    "human-keypoint-detection": "hps",
}


@dataclass(frozen=True)
class ServiceProcess:
    """A process of a service; ``model`` is Triton's name of the model it runs, if any."""

    pid: int
    role: Role
    model: str | None = None


def service_processes(pid: int) -> list[ServiceProcess]:
    """Find the descendants with a role of ``tritonpose serve`` or another program with a server.

    Parents come before their children. Processes that start or end meanwhile may be missing.
    """
    return list(filter(None, map(_classify, children(pid, recursive=True))))


def children(pid: int, *, recursive: bool = False) -> list[int]:
    """List the children of a process, and theirs if asked for."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive)]
    except psutil.Error:
        return []


def dead_children(pid: int) -> list[int]:
    """List the children of a process that have died without its noticing."""
    found = []
    for child in children(pid):
        with contextlib.suppress(psutil.Error):
            if psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def ended_abruptly(pid: int) -> bool:
    """Return whether a dead child was ended by a signal, or could not be run by its shell."""
    try:
        status = int(Path(f"/proc/{pid}/stat").read_text("utf-8").split()[-1])
    except (OSError, ValueError):
        return False
    return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) in _NOT_RUN


def connected_ports(pid: int) -> set[int]:
    """Return the local ports of a process's open TCP connections."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return set()
    return {
        connection.laddr.port
        for connection in connections
        if connection.status == psutil.CONN_ESTABLISHED
    }


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used; 0 if it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def waited_seconds(pid: int) -> float:
    """Return for how long the threads of a process, together, had work to do but no core.

    0 if it is gone, or where the kernel does not tell.
    """
    nanoseconds = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            nanoseconds += int(thread.read_text("utf-8").split()[1])
    return nanoseconds / 1e9


def kill_processes_of(server_id: str) -> None:
    """Kill tritonserver and stubs of a server, and wait until they are gone.

    Its shared-memory regions start with its id.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < deadline:
        found = [each for each in psutil.process_iter() if _belongs_to(each, server_id)]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=0.1)


def triton_start_times() -> list[float]:
    """List when the running tritonservers of this machine were started, in seconds since 1970."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "".join(process.cmdline()[:1]).endswith(_TRITON):
                found.append(process.create_time())
    return found


def stub_instance(pid: int) -> str | None:
    """Name the instance that a Python backend's stub runs, ``MODEL_<group>_<number>``, or None."""
    return _stub_instance(_command_line(pid))


def model_of(instance: str) -> str:
    """Name the model that an instance belongs to."""
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


def _belongs_to(process: psutil.Process, server_id: str) -> bool:
    try:
        if process.uids().real != os.getuid():
            # Another user's, who may give any command line to a program.
            return False
    except psutil.Error:
        return False
    arguments = _command_line(process.pid)
    if arguments and arguments[0].endswith(_TRITON):
        return f"--id={server_id}" in arguments
    instance = _stub_instance(arguments)
    return instance is not None and arguments[_REGION_ARGUMENT].startswith(server_id)


def _stub_instance(arguments: list[str]) -> str | None:
    if len(arguments) > _INSTANCE_ARGUMENT and arguments[0].endswith(_STUB):
        return arguments[_INSTANCE_ARGUMENT]
    return None


def _command_line(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []
