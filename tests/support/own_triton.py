"""A tritonserver of the user's own: as in our container, by its entrypoint, or plain."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from leftovers import wait_until
from tools.programs import free_ports
from tritonpose_server.embedded.installation import find_libpython_directory, find_triton
from tritonpose_server.embedded.staging import stage_backends

DOCKER = Path(__file__).resolve().parents[2] / "docker"


@dataclass(frozen=True)
class OwnTriton:
    """A running server.

    Attributes:
        process: It.
        grpc_port: Its gRPC port.
        http_port: Its HTTP port.
        metrics_port: Port of its metrics.
        environment: What the container's environment would be, for its scripts.
    """

    process: subprocess.Popen[bytes]
    grpc_port: int
    http_port: int
    metrics_port: int
    environment: dict[str, str]

    @property
    def grpc_url(self) -> str:
        """Its address for our client."""
        return f"grpc://127.0.0.1:{self.grpc_port}"

    def get(self, path: str) -> requests.Response:
        """What its HTTP port answers."""
        return requests.get(f"http://127.0.0.1:{self.http_port}{path}", timeout=5)


@contextmanager
def own_triton(
    repository: Path, folder: Path, entrypoint: bool = True, **settings: str
) -> Iterator[OwnTriton]:
    """Run tritonserver with no settings of ours but the directory of backends and the ports.

    Args:
        repository: The model repository.
        folder: For its backends and its log.
        entrypoint: Whether it is started by the entrypoint of the image `triton`.
        settings: Environment variables of the entrypoint.
    """
    triton = find_triton()
    program = (
        [DOCKER / "triton-entrypoint"]
        if entrypoint
        else [triton.binary, f"--model-repository={repository}"]
    )
    stage_backends(triton, folder / "backends")
    libraries = [str(path) for path in (find_libpython_directory(), triton.libraries) if path]
    environment = {
        **os.environ,
        "PATH": f"{triton.binary.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(libraries),
        "MODEL_REPOSITORY": str(repository),
        **settings,
    }
    grpc, http, metrics = free_ports(3)
    environment["TRITON_HTTP_PORT"] = str(http)
    arguments = [f"--backend-directory={folder / 'backends'}"]
    for name, port in (("grpc", grpc), ("http", http), ("metrics", metrics)):
        arguments += [f"--{name}-address=127.0.0.1", f"--{name}-port={port}"]
    log = folder / "triton.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*program, *arguments], env=environment, stdout=output, stderr=output
        )
    server = OwnTriton(process, grpc, http, metrics, environment)
    try:
        assert wait_until(lambda: process.poll() is not None or _ready(server), 120)
        assert process.poll() is None, log.read_text()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(40)
        finally:
            process.kill()


def _ready(server: OwnTriton) -> bool:
    try:
        return server.get("/v2/health/ready").ok
    except requests.RequestException:
        return False
