"""``tritonpose serve`` as a program."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from command_line import COMMAND, environment, run
from leftovers import alive, descendants, wait_until
from tritonpose import create_pipeline
from tritonpose_server.embedded import EmbeddedServer

PIPELINE = "human_keypoint_detection"


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
            return response.read()

    def ready(self) -> bool:
        try:
            return json.loads(self.get("/health/ready"))["errorCode"] == 0
        except urllib.error.URLError:
            return False

    def persons(self, photo: Path) -> list[dict[str, Any]]:
        """Asks PaddleX's REST interface."""
        body = {"image": base64.b64encode(photo.read_bytes()).decode(), "visualize": False}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[0]}/human-keypoint-detection",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)["result"]["persons"]


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


@pytest.mark.usefixtures("open_leaves")
def test_serves_rest_and_triton_until_sigterm(tmp_path: Path, photo: Path) -> None:
    with serving(tmp_path / "log", "serve") as service:
        rest, grpc, http, metrics = service.ports
        found = service.persons(photo)
        with create_pipeline(PIPELINE, url=f"grpc://127.0.0.1:{grpc}") as pipeline:
            boxes = next(pipeline.predict(photo))["boxes"]
        assert [person["detScore"] for person in found] == [box["det_score"] for box in boxes]
        assert len(boxes) == 2
        assert b"<html" in service.get("/")
        assert b"<html" in service.get("/docs")
        processes = descendants(service.process.pid)
        assert len(processes) > 4
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
        assert wait_until(lambda: not any(map(alive, processes)))
    log = service.log.read_text()
    for address in (
        f"http://127.0.0.1:{rest}/human-keypoint-detection",
        f"http://127.0.0.1:{rest}/docs",
        f"grpc://127.0.0.1:{grpc}",
        f"http://127.0.0.1:{http}",
        f"http://127.0.0.1:{metrics}/metrics",
    ):
        assert address in log


@pytest.mark.usefixtures("open_leaves")
def test_a_triton_that_dies_is_replaced_and_one_that_is_stopped_is_not(
    tmp_path: Path, photo: Path
) -> None:
    arguments = ["--serve", "--pipeline", PIPELINE, "--device", "cpu"]
    with serving(tmp_path / "log", *arguments) as service:
        os.kill(process_of(service, "bin/tritonserver"), signal.SIGKILL)
        assert wait_until(lambda: not service.ready())
        assert wait_until(service.ready)
        assert len(service.persons(photo)) == 2
        processes = descendants(service.process.pid)
        os.kill(process_of(service, "guardian.py"), signal.SIGTERM)
        assert service.process.wait(30) == 1
        assert wait_until(lambda: not any(map(alive, processes)))
    log = service.log.read_text()
    assert "error: Triton has ended with status" in log
    assert "Traceback" not in log


def test_in_front_of_another_triton(tmp_path: Path, photo: Path, server: EmbeddedServer) -> None:
    arguments = ["serve", "--url", server.grpc_url, "--log_format", "json"]
    with serving(tmp_path / "log", *arguments) as service:
        assert len(service.persons(photo)) == 2
        assert descendants(service.process.pid) == []
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(30) == 0
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    (request,) = [line for line in lines if line["logger"] == "tritonpose.access"]
    assert (request["status"], request["persons"]) == (200, 2)


@pytest.mark.parametrize("flag", ["--port", "--grpc_port"])
@pytest.mark.usefixtures("open_leaves")
def test_port_in_use_is_an_error_in_a_line(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "serve", "--port", str(free_ports(1)[0]), f"{flag}={port}")
    assert done.returncode == 1
    assert f"error: can't listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def process_of(service: Service, words: str) -> int:
    """The first process of a service whose program or script is so named."""
    for pid in descendants(service.process.pid):
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if any(argument.endswith(words) for argument in arguments[:3]):
            return pid
    raise AssertionError(f"{words} does not run")
