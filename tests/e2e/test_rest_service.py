"""What only the REST service has of the contract; the rest is in test_service_contract."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from rest_service import rest_service
from service_clients import ENDPOINT, RestClient, call_until_served, encoded, persons_of
from tritonpose import create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer


@pytest.fixture(scope="module")
def service(server: EmbeddedServer) -> Iterator[str]:
    with rest_service(server.grpc_url) as address:
        yield address


def test_with_curl(service: str, photo: Path, tmp_path: Path, server: EmbeddedServer) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"image": encoded(photo.read_bytes()), "visualize": False}))
    done = subprocess.run(
        [
            *(curl, "--silent", "--show-error", "--fail", f"{service}{ENDPOINT}"),
            *("--header", "Content-Type: application/json", "--data-binary", f"@{request}"),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    with create_pipeline("human_keypoint_detection", url=server.grpc_url) as pipeline:
        expected = persons_of(next(pipeline.predict(photo)))
    assert json.loads(done.stdout)["result"]["persons"] == expected


@pytest.mark.parametrize("kind", ["grpc_url", "http_url"])
def test_ready(server: EmbeddedServer, kind: str) -> None:
    with rest_service(getattr(server, kind)) as address:
        assert requests.get(f"{address}health/ready", timeout=5).status_code == 200


def test_body_that_is_too_large(service: str) -> None:
    """Clients that send all of it before they listen get the answer, too."""
    with requests.Session() as session:
        for _ in range(2):
            response = session.post(
                f"{service}{ENDPOINT}", json={"image": "a" * 25_000_000}, timeout=60
            )
            assert response.status_code == 413
            assert "20 MB" in response.json()["errorMsg"]
        assert session.get(f"{service}health", timeout=5).status_code == 200


def test_no_place_is_lost(service: str, photo: Path) -> None:
    client = RestClient(service)
    image = encoded(photo.read_bytes())
    with ThreadPoolExecutor(64) as clients:
        answers = list(clients.map(lambda _: call_until_served(client, image=image), range(64)))
    assert all(len(answer["result"]["persons"]) == 2 for answer in answers)
    numbers = requests.get(f"{service}metrics", timeout=5).text
    assert "tritonpose_rest_requests_in_flight 0.0" in numbers
