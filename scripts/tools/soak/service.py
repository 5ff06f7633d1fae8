"""The service under test: a real ``tritonpose serve``, started as a user starts it."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from tools.programs import Program, free_ports
from tritonpose_server.embedded.triton_command import GRPC_HEADER
from tritonpose_server.supervision.processes import service_processes

COMMAND, TRITON = "command", "triton"
"""Roles of two processes; for all others, see `Service.processes`."""

_START_SECONDS = 300.0


@dataclass(frozen=True)
class Addresses:
    """URLs of a service; `rest` is PaddleX's REST path."""

    rest: str
    grpc: str
    http: str


@dataclass(frozen=True)
class Service:
    """A running service; its headers open Triton's control endpoints over gRPC."""

    program: Program
    addresses: Addresses
    control_headers: dict[str, str]

    @property
    def ready_url(self) -> str:
        """URL of its readiness."""
        return urljoin(self.addresses.rest, "/health/ready")

    def processes(self) -> dict[str, int]:
        """Find its processes by role, those of models by name; some may be restarting."""
        found = {COMMAND: self.program.process.pid}
        seen: Counter[str] = Counter()
        for process in service_processes(self.program.process.pid):
            name = process.model if process.role == "model" and process.model else process.role
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name} {seen[name]}"] = process.pid
        return found

    def models(self) -> list[str]:
        """List the models that have processes, sorted."""
        processes = service_processes(self.program.process.pid)
        return sorted({each.model for each in processes if each.role == "model" and each.model})

    def mortal(self) -> list[str]:
        """List the roles of processes that are restarted when they die."""
        return [role for role in self.processes() if role != COMMAND]


@contextmanager
def serving(pipeline: str) -> Iterator[Service]:
    """Run a service on free ports, and wait until it is ready."""
    rest, grpc, http, metrics = free_ports(4)
    command = [
        *(str(Path(sys.executable).with_name("tritonpose")), "serve", "--pipeline", pipeline),
        *(f"--port={rest}", f"--grpc_port={grpc}", f"--http_port={http}"),
        f"--metrics_port={metrics}",
    ]
    control_key = secrets.token_urlsafe(24)
    # Without a URL, the command starts a server of its own.
    variables = {"TRITONPOSE_CONTROL_KEY": control_key, "TRITONPOSE_URL": ""}
    program = Program("the service", command, variables)
    addresses = Addresses(
        f"http://127.0.0.1:{rest}/human-keypoint-detection",
        f"grpc://127.0.0.1:{grpc}",
        f"http://127.0.0.1:{http}",
    )
    service = Service(program, addresses, {GRPC_HEADER: control_key})
    program.wait_until_ready(service.ready_url, _START_SECONDS)
    with contextlib.closing(program):
        yield service
