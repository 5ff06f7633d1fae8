"""The service under test: a real ``tritonpose serve``, started as a user starts it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx

from tools.errors import SoakError
from tritonpose_server.ports import bind
from tritonpose_server.supervision.processes import service_processes
from tritonpose_server.supervision.triton_api import GRPC_HEADER

COMMAND, TRITON = "command", "triton"
"""Roles of two processes; for all others, see `Service.processes`."""

_START_SECONDS = 300.0
_STOP_SECONDS = 60.0
_SHOWN_LINES = 12


@dataclass(frozen=True)
class Addresses:
    """URLs of a service.

    Attributes:
        rest: PaddleX's REST path.
        grpc: Triton's gRPC.
        http: Triton's HTTP.
    """

    rest: str
    grpc: str
    http: str


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        process: The command.
        addresses: Its URLs.
        log: File that it logs to.
        control_headers: Opens Triton's control endpoints over gRPC.
    """

    process: subprocess.Popen[bytes]
    addresses: Addresses
    log: Path
    control_headers: dict[str, str]

    @property
    def ready_url(self) -> str:
        """URL of its readiness."""
        return urljoin(self.addresses.rest, "/health/ready")

    def processes(self) -> dict[str, int]:
        """Find its processes by role, those of models by the model's name.

        A process that is being restarted may be missing.
        """
        found = {COMMAND: self.process.pid}
        seen: Counter[str] = Counter()
        for process in service_processes(self.process.pid):
            name = process.model if process.role == "model" and process.model else process.role
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name} {seen[name]}"] = process.pid
        return found

    def models(self) -> list[str]:
        """List the models that have processes, sorted."""
        processes = service_processes(self.process.pid)
        return sorted({each.model for each in processes if each.role == "model" and each.model})

    def mortal(self) -> list[str]:
        """List the roles of processes that are restarted when they die."""
        return [role for role in self.processes() if role != COMMAND]

    def ended(self) -> bool:
        """Whether the command has ended."""
        return self.process.poll() is not None

    def last_lines(self) -> str:
        """Read the end of the log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-_SHOWN_LINES:])


@contextmanager
def serving(pipeline: str, log: Path) -> Iterator[Service]:
    """Run a service on free ports, and wait until it is ready.

    Args:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        log: File for its log.

    Raises:
        SoakError: It did not start.
    """
    with ExitStack() as holders:
        # All held at once, so that they differ.
        sockets = [holders.enter_context(bind("127.0.0.1", None)) for _ in range(4)]
        rest, grpc, http, metrics = (holder.getsockname()[1] for holder in sockets)
    command = [
        *(str(Path(sys.executable).with_name("tritonpose")), "serve", "--pipeline", pipeline),
        *(f"--port={rest}", f"--grpc_port={grpc}", f"--http_port={http}"),
        f"--metrics_port={metrics}",
    ]
    control_key = secrets.token_urlsafe(24)
    environment = {**os.environ, "TRITONPOSE_CONTROL_KEY": control_key}
    environment.pop("TRITONPOSE_URL", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
    addresses = Addresses(
        f"http://127.0.0.1:{rest}/human-keypoint-detection",
        f"grpc://127.0.0.1:{grpc}",
        f"http://127.0.0.1:{http}",
    )
    service = Service(process, addresses, log, {GRPC_HEADER: control_key})
    try:
        _wait_until_ready(service)
        yield service
    finally:
        if not service.ended():
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(service: Service) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if service.ended():
            raise SoakError(f"the service has ended:\n{service.last_lines()}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(service.ready_url, timeout=5, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise SoakError(f"the service is not ready:\n{service.last_lines()}")
