"""The command ``tritonpose`` and the tools as programs, and a running ``tritonpose serve``."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import requests

from leftovers import wait_until
from tools.programs import free_ports
from tritonpose_server.supervision.processes import Role, ServiceProcess, service_processes

COMMAND = str(Path(sys.executable).with_name("tritonpose"))


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without the choice of a server, and with further variables."""
    inherited = {key: value for key, value in os.environ.items() if key != "TRITONPOSE_URL"}
    return {**inherited, **variables}


def run(
    directory: Path, *arguments: str, stdin: IO[Any] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    Args:
        directory: Where it runs.
        arguments: Its command line.
        stdin: Its standard input; by default there is nothing to read.
        variables: Further environment variables.
    """
    return _run([COMMAND, *arguments], directory, stdin, **variables)


def run_tool(
    directory: Path, tool: str, *arguments: object, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of `tools` to its end; see `run`."""
    command = [sys.executable, "-m", f"tools.{tool}", *map(str, arguments)]
    return _run(command, directory, **variables)


def _run(
    command: list[str], directory: Path, stdin: IO[Any] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env=environment(**variables),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )


class Service:
    """A running ``tritonpose serve``.

    Attributes:
        process: It.
        log: What it wrote.
        ports: Of REST, gRPC, HTTP and metrics.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, ports: list[int]) -> None:
        self.process = process
        self.log = log
        self.ports = ports

    def get(self, path: str) -> bytes:
        return requests.get(f"http://127.0.0.1:{self.ports[0]}{path}", timeout=60).content

    def ready(self) -> bool:
        try:
            return bool(json.loads(self.get("/health/ready"))["errorCode"] == 0)
        except OSError:
            return False

    def processes(self) -> list[ServiceProcess]:
        """Its processes that have a role."""
        return service_processes(self.process.pid)

    def process_of(self, role: Role) -> int:
        """The first process of a role."""
        return next(process.pid for process in self.processes() if process.role == role)

    def server_id(self) -> str:
        """The id of its Triton."""
        arguments = Path(f"/proc/{self.process_of('triton')}/cmdline").read_text().split("\0")
        return next(each for each in arguments if each.startswith("--id=")).removeprefix("--id=")

    def persons(self, photo: Path) -> list[dict[str, Any]]:
        """Asks PaddleX's REST interface."""
        body = {"image": base64.b64encode(photo.read_bytes()).decode(), "visualize": False}
        address = f"http://127.0.0.1:{self.ports[0]}/human-keypoint-detection"
        response = requests.post(address, json=body, timeout=60)
        response.raise_for_status()
        persons: list[dict[str, Any]] = response.json()["result"]["persons"]
        return persons


@contextmanager
def serving(
    log: Path,
    *arguments: str,
    directory: Path | None = None,
    prefix: Sequence[str] = (),
    **variables: str,
) -> Iterator[Service]:
    """Runs the command on free ports and waits until it is ready.

    Args:
        log: What it writes.
        arguments: Its command line.
        directory: Where it runs.
        prefix: A program, with its arguments, that runs it.
        variables: Further environment variables.
    """
    ports = free_ports(4)
    flags = ("--port", "--grpc_port", "--http_port", "--metrics_port")
    options = [f"{flag}={port}" for flag, port in zip(flags, ports, strict=True)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*prefix, COMMAND, *arguments, *options],
            cwd=directory,
            env=environment(**variables),
            stdout=output,
            stderr=output,
        )
    service = Service(process, log, ports)
    try:
        assert wait_until(lambda: process.poll() is not None or service.ready(), 60)
        assert process.poll() is None, log.read_text()
        yield service
    finally:
        process.kill()
        process.wait()
