"""Processes are distinguished by their command lines."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from leftovers import alive, wait_until
from other_user import OTHER_USER, needs_other_user
from tritonpose_server.supervision.processes import (
    ServiceProcess,
    children,
    connected_ports,
    dead_children,
    ended_abruptly,
    kill_processes_of,
    service_processes,
    stub_instance,
    triton_start_times,
    waited_seconds,
)

STUB = "/b/python/triton_python_backend_stub"


@contextmanager
def running(*arguments: str, user: int | None = None) -> Iterator[int]:
    """A process that shows a command line; it takes nothing of it in."""
    with subprocess.Popen(
        [arguments[0], "-c", "read line", *arguments[1:]],
        executable="/bin/sh",
        stdin=subprocess.PIPE,
        user=user,
    ) as process:
        assert wait_until(
            lambda: (
                Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(arguments[0].encode())
            )
        )
        yield process.pid
        process.kill()


def stub(instance: str) -> list[str]:
    """A stub's arguments; `running` puts two of them in."""
    return [STUB, "/m/model.py", "shm", "1", "2", "3", instance]


def test_who_waits_for_a_core() -> None:
    """Two programs that compute share one; a third sleeps there."""
    core = str(min(os.sched_getaffinity(0)))
    busy = ["taskset", "-c", core, "sh", "-c", "while :; do :; done"]
    with ExitStack() as stack:
        first, second, idle = (
            stack.enter_context(subprocess.Popen(command))
            for command in (busy, busy, ["taskset", "-c", core, "sleep", "60"])
        )
        for each in (first, second, idle):
            stack.callback(each.kill)
        assert wait_until(lambda: min(map(waited_seconds, (first.pid, second.pid))) > 0.2)
        assert waited_seconds(idle.pid) < 0.2
    assert waited_seconds(first.pid) == 0


@pytest.mark.parametrize(
    ("arguments", "role", "model"),
    [
        (stub("human_keypoint_detection_0_0"), "pipeline", "human_keypoint_detection"),
        (stub("human-keypoint-detection_0_0"), "hps", "human-keypoint-detection"),
        (stub("PP-TinyPose_128x96_0_1"), "model", "PP-TinyPose_128x96"),
        (["/bin/tritonserver", "--id=x"], "triton", None),
        (["/bin/python", "tritonpose_server.supervision.guardian"], "guardian", None),
        (["/bin/python", "tritonpose_server.service.rest"], "rest", None),
    ],
)
def test_roles(arguments: list[str], role: str, model: str | None) -> None:
    with running(*arguments) as pid:
        assert ServiceProcess(pid, role, model) in service_processes(os.getpid())  # type: ignore[arg-type]


def test_others_have_none() -> None:
    with running("/bin/python", "guardian.python") as pid:
        assert pid in children(os.getpid())
        assert pid not in [process.pid for process in service_processes(os.getpid())]
        assert stub_instance(pid) is None


def test_processes_of_processes() -> None:
    with ExitStack() as stack:
        shell = stack.enter_context(
            subprocess.Popen(["/bin/sh", "-c", "(sleep 60; :) & wait"], stdin=subprocess.DEVNULL)
        )
        assert wait_until(lambda: any(children(child) for child in children(shell.pid)))
        (inner,) = children(shell.pid)
        (sleep,) = children(inner)
        assert service_processes(shell.pid) == []
        os.kill(sleep, 9)
        shell.kill()


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert children(process.pid) == []
    assert service_processes(process.pid) == []
    assert stub_instance(process.pid) is None


def test_start_times_of_tritonservers() -> None:
    with running("/bin/tritonserver", "--id=x") as pid:
        assert psutil.Process(pid).create_time() in triton_start_times()


def test_ports_at_which_somebody_is_connected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port not in connected_ports(os.getpid())
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            assert port in connected_ports(os.getpid())
    assert connected_ports(2**22) == set()


@pytest.mark.parametrize(
    ("command", "abruptly"),
    [
        ("/no/such/program", True),
        ("/dev/null", True),
        ("kill -9 $$", True),
        ("exit 0", False),
        ("exit 1", False),
    ],
)
def test_programs_that_could_not_be_run_or_were_killed(command: str, abruptly: bool) -> None:
    """Triton waits without end for a process of a model that its shell did not start."""
    with subprocess.Popen(["/bin/sh", "-c", command], stderr=subprocess.DEVNULL) as process:
        # Not waited for, it stays as it is.
        assert wait_until(lambda: process.pid in dead_children(os.getpid()))
        assert ended_abruptly(process.pid) == abruptly
    assert not ended_abruptly(process.pid)


def test_only_processes_of_this_user_are_ended() -> None:
    needs_other_user()
    arguments = ("/bin/tritonserver", "--id=tritonpose-0123456789ab")
    with running(*arguments, user=OTHER_USER) as pretender, running(*arguments) as own:
        kill_processes_of("tritonpose-0123456789ab")
        assert not alive(own)
        assert alive(pretender)
