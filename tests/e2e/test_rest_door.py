"""Keys, TLS, request names and URLs: the REST service as it stands on an open network."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from certificates import Certificates, make_certificates
from pretended_network import PretendedNetwork, host
from rest_service import rest_service
from tritonpose import KeypointResult
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.service.rest import service as service_module
from tritonpose_server.service.urls.fetching import ImageFetcher
from tritonpose_server.service.urls.settings import UrlSettings

ENDPOINT = "human-keypoint-detection"
KEYS = ("the-key-until-may-0123456789", "the-key-from-may-9876543210")
PUBLIC = "93.184.215.14"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), "localhost")


@pytest.fixture(scope="module")
def scores(expected: KeypointResult) -> list[float]:
    """Of the people in the photo, as the Python client finds them."""
    return [float(box["det_score"]) for box in expected["boxes"]]


def found(response: requests.Response) -> list[float]:
    assert response.status_code == 200, response.text
    return [person["detScore"] for person in response.json()["result"]["persons"]]


def test_keys_over_tls(
    server: EmbeddedServer,
    photo: Path,
    scores: list[float],
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "tritonpose")
    payload = {
        "image": base64.b64encode(photo.read_bytes()).decode(),
        "visualize": False,
        "logId": "in-the-body",
    }
    files = {
        "cert_file": str(certificates.server_cert),
        "key_file": str(certificates.server_key),
    }
    with (
        rest_service(server.grpc_url, api_keys=KEYS, trust=certificates.ca, **files) as address,
        requests.Session() as session,
    ):
        assert address.startswith("https://localhost:")
        session.verify = str(certificates.ca)
        # Else $REQUESTS_CA_BUNDLE comes first.
        session.trust_env = False
        for headers in (
            {"Authorization": f"Bearer {KEYS[0]}"},
            {"X-API-Key": KEYS[1], "X-Request-ID": "in-the-header"},
        ):
            response = session.post(address + ENDPOINT, json=payload, headers=headers, timeout=60)
            assert found(response) == scores
            assert len(scores) == 2
            assert response.headers["X-Request-ID"] == response.json()["logId"] == "in-the-body"
        refused = session.post(address + ENDPOINT, json=payload, timeout=60)
        assert refused.status_code == refused.json()["errorCode"] == 401
        assert session.get(f"{address}health/ready", timeout=5).status_code == 200
        # Not to clients that don't trust the authority, and not without encryption.
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{address}health", timeout=5)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(address.replace("https", "http") + "health", timeout=5)
    assert not any(key in caplog.text for key in KEYS)
    assert caplog.text.count("request_id=in-the-body client=") == 2


def test_image_at_a_url(
    server: EmbeddedServer,
    photo: Path,
    scores: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = photo.read_bytes()
    there = make_certificates(tmp_path, "images.example")

    async def answer(head: str, writer: Any) -> None:
        if head.startswith("GET /old.jpg"):
            writer.write(b"HTTP/1.1 301 Moved\r\nLocation: /new.jpg?token=s3cret\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    with host(answer, (str(there.server_cert), str(there.server_key))) as port:
        network = PretendedNetwork(
            {"images.example": [[PUBLIC]], "inside.example": [["10.0.0.1"]]},
            {(PUBLIC, 443): port},
        )
        trust = partial(ssl.create_default_context, cafile=there.ca)
        pretending = partial(ImageFetcher, resolve=network.resolve, network=network, trust=trust)
        monkeypatch.setattr(service_module, "ImageFetcher", pretending)
        with rest_service(server.grpc_url, urls=UrlSettings("https")) as address:

            def ask(url: str) -> requests.Response:
                return requests.post(address + ENDPOINT, json={"image": url}, timeout=60)

            response = ask("https://images.example/old.jpg")
            assert found(response) == scores
            assert response.json()["result"]["image"]
            for url, status in (
                ("http://images.example/old.jpg", 403),
                ("https://inside.example/", 403),
                ("https://unknown.example/", 502),
                ("https://[", 422),
            ):
                refused = ask(url)
                assert refused.status_code == refused.json()["errorCode"] == status
        assert set(network.connected) == {(PUBLIC, 443)}


def test_urls_of_this_machine_are_never_asked(server: EmbeddedServer) -> None:
    """With the system's own resolver and network."""
    with (
        socket.create_server(("127.0.0.1", 0)) as trap,
        rest_service(
            server.grpc_url, urls=UrlSettings("http", ports=(trap.getsockname()[1],))
        ) as address,
    ):
        trap.settimeout(0.2)
        port = trap.getsockname()[1]
        for name in ("localhost", "localhost.", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"):
            response = requests.post(
                address + ENDPOINT, json={"image": f"http://{name}:{port}/a.jpg"}, timeout=60
            )
            assert response.status_code == 403, name
            assert "not public" in response.json()["errorMsg"]
        with pytest.raises(TimeoutError):
            trap.accept()
