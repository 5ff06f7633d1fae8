"""How the REST service comes and goes, and what it does while its Triton is away."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import requests

from leftovers import wait_until
from rest_service import free_port, rest_service
from tritonpose_server.embedded.server import EmbeddedServer

ENDPOINT = "human-keypoint-detection"


def payload(photo: Path, **fields: object) -> dict[str, object]:
    return {"image": base64.b64encode(photo.read_bytes()).decode(), **fields}


def test_clients_that_hang_up_free_their_place(server: EmbeddedServer, photo: Path) -> None:
    body = json.dumps(payload(photo)).encode()
    with rest_service(server.grpc_url) as address:
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        impatient = [HTTPConnection("127.0.0.1", port) for _ in range(16)]
        for connection in impatient:
            connection.request("POST", f"/{ENDPOINT}", body, {"Content-Type": "application/json"})
        for connection in impatient:
            connection.close()

        def numbers() -> str:
            return requests.get(f"{address}metrics", timeout=5).text

        assert wait_until(lambda: "in_flight 0.0" in numbers())
        assert re.search(r'tritonpose_rest_requests_total{status="499"} [1-9]', numbers())
        assert requests.post(address + ENDPOINT, json=payload(photo), timeout=60).ok


def test_triton_goes_and_comes_back(embed: Callable[..., EmbeddedServer], photo: Path) -> None:
    triton = embed(grpc_port=free_port())

    def status(path: str) -> int:
        return requests.get(address + path, timeout=10).status_code

    def ask() -> requests.Response:
        return requests.post(address + ENDPOINT, json=payload(photo), timeout=60)

    triton.start()
    try:
        with rest_service(triton.grpc_url, triton_timeout=20) as address:
            assert status("health/ready") == 200
            assert ask().status_code == 200
            triton.stop()
            refusal = ask()
            assert refusal.status_code == 503
            assert refusal.headers["Retry-After"] == "1"
            assert refusal.json()["errorCode"] == 503
            assert status("health/ready") == 503
            assert status("health") == 200
            triton.start()
            assert wait_until(lambda: status("health/ready") == 200)
            assert ask().status_code == 200
    finally:
        triton.stop()


def test_triton_that_does_not_answer(photo: Path) -> None:
    # Accepts connections and says nothing.
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        rest_service(f"http://127.0.0.1:{silent.getsockname()[1]}", triton_timeout=0.5) as address,
    ):
        response = requests.post(address + ENDPOINT, json=payload(photo), timeout=30)
        assert response.status_code == 504
        assert "no answer within 0.5 s" in response.json()["errorMsg"]
        assert requests.get(f"{address}health/ready", timeout=10).status_code == 503
