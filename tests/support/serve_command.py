"""``tritonpose serve`` as a program, for tests."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import COMMAND, environment
from leftovers import wait_until
from tritonpose_server.supervision.processes import Role, ServiceProcess, service_processes


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


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
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[0]}{path}") as response:
            return bytes(response.read())

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
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[0]}/human-keypoint-detection",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            persons: list[dict[str, Any]] = json.load(response)["result"]["persons"]
            return persons


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[Service]:
    """Runs the command on free ports and waits until it is ready."""
    ports = free_ports(4)
    flags = ("--port", "--grpc_port", "--http_port", "--metrics_port")
    options = [f"{flag}={port}" for flag, port in zip(flags, ports, strict=True)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [COMMAND, *arguments, *options], env=environment(), stdout=output, stderr=output
        )
    service = Service(process, log, ports)
    try:
        assert wait_until(lambda: process.poll() is not None or service.ready(), 60)
        assert process.poll() is None, log.read_text()
        yield service
    finally:
        process.kill()
        process.wait()
