"""``tritonpose serve`` as a program."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from leftovers import alive, descendants, hear_interrupts, wait_until
from tritonpose import TritonPoseError, create_pipeline

COMMAND = [sys.executable, "-c", "from tritonpose.cli import main; raise SystemExit(main())"]


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(
    open_leaves: list[Path],
    environment: dict[str, str],
    photo: Path,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    assert open_leaves
    grpc, http, metrics = free_ports(3)
    ports = [f"--grpc_port={grpc}", f"--http_port={http}", f"--metrics_port={metrics}"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*COMMAND, "serve", *ports],
            env=environment,
            stderr=log,
            preexec_fn=hear_interrupts,
        )

    def answers() -> bool:
        try:
            with create_pipeline(
                "human_keypoint_detection", url=f"grpc://127.0.0.1:{grpc}"
            ) as client:
                return len(next(client.predict(photo))["boxes"]) == 2
        except TritonPoseError:
            return False

    try:
        assert wait_until(answers), (tmp_path / "log").read_text()
        processes = descendants(server.pid)
        server.send_signal(number)
        assert server.wait(30) == 0
        assert wait_until(lambda: not any(map(alive, processes)))
    finally:
        server.kill()
    assert "server ready at grpc://127.0.0.1" in (tmp_path / "log").read_text()


def test_port_in_use_is_an_error_in_a_line(
    open_leaves: list[Path], environment: dict[str, str]
) -> None:
    assert open_leaves
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "serve", f"--grpc_port={port}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"error: can't listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
