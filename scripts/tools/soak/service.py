"""The service under test: a real ``tritonpose serve``, started as a user starts it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from tools.errors import SoakError
from tools.soak.processes import COMMAND, models, processes_by_role
from tritonpose_server.supervision.triton_api import GRPC_HEADER

_START_SECONDS = 300.0
_STOP_SECONDS = 60.0
_SHOWN_LINES = 12


@dataclass(frozen=True)
class Addresses:
    """Where a service listens.

    Attributes:
        rest: PaddleX's REST path.
        grpc: Triton's gRPC.
        http: Triton's HTTP.
    """

    rest: str
    grpc: str
    http: str


class Service:
    """A running service.

    Args:
        process: The command.
        addresses: Where it listens.
        log: What it writes.
        control_key: What opens Triton's control endpoints.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        addresses: Addresses,
        log: Path,
        control_key: str,
    ) -> None:
        self.process = process
        self.addresses = addresses
        self.log = log
        self._control_key = control_key

    @property
    def control_headers(self) -> dict[str, str]:
        """What to send to Triton's control endpoints over gRPC."""
        return {GRPC_HEADER: self._control_key}

    def models(self) -> list[str]:
        """Names of the models that it runs."""
        return models(self.process.pid)

    def processes(self) -> dict[str, int]:
        """Its processes by role; one that is being started again may be missing."""
        return processes_by_role(self.process.pid)

    def mortal(self) -> list[str]:
        """Roles of the processes that are started again when they die."""
        return [role for role in self.processes() if role != COMMAND]

    @property
    def ready_url(self) -> str:
        """Where it says whether it is ready."""
        return urljoin(self.addresses.rest, "/health/ready")

    def ended(self) -> bool:
        """Whether the command has ended."""
        return self.process.poll() is not None

    def last_lines(self) -> str:
        """The end of the log."""
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
    rest, grpc, http, metrics = _free_ports(4)
    command = [
        *(str(Path(sys.executable).with_name("tritonpose")), "serve", "--pipeline", pipeline),
        *(f"--port={rest}", f"--grpc_port={grpc}", f"--http_port={http}"),
        f"--metrics_port={metrics}",
    ]
    root = f"http://127.0.0.1:{rest}"
    addresses = Addresses(
        f"{root}/human-keypoint-detection", f"grpc://127.0.0.1:{grpc}", f"http://127.0.0.1:{http}"
    )
    control_key = secrets.token_urlsafe(24)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment() | {"TRITONPOSE_CONTROL_KEY": control_key},
        )
    service = Service(process, addresses, log, control_key)
    try:
        _wait_until_ready(service, service.ready_url)
        yield service
    finally:
        _stop(process)


def _wait_until_ready(service: Service, url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if service.ended():
            raise SoakError(f"the service has ended:\n{service.last_lines()}")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own
                return
        except OSError:
            time.sleep(0.1)
    raise SoakError(f"the service is not ready:\n{service.last_lines()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    # All at once, so that they differ.
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "TRITONPOSE_URL"}
