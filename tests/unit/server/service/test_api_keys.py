"""Who is let in, and by which keys."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate

from rest_service import rest_client
from tritonpose import ConfigError
from tritonpose_server.service.rest.app import create_app
from tritonpose_server.service.rest.key_files import parse_keys, read_keys
from tritonpose_server.service.rest.settings import RestSettings

PATH = "/human-keypoint-detection"
OLD, NEW = "0123456789abcdef", "fedcba9876543210/+=_~"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with rest_client(api_keys=(OLD, NEW)) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {OLD}"},
        {"Authorization": f"bearer  {NEW}"},
        {"X-API-Key": OLD},
        {"X-API-Key": NEW, "Authorization": "Basic abc"},
    ],
)
def test_each_key_lets_in(client: httpx.Client, headers: dict[str, str]) -> None:
    assert client.post(PATH, json={}, headers=headers).status_code == 422
    assert client.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "an API key is needed"),
        ({"Authorization": f"Basic {OLD}"}, "an API key is needed"),
        ({"Authorization": OLD}, "an API key is needed"),
        ({"Authorization": f"Bearer {OLD[:-1]}"}, "not valid"),
        ({"Authorization": f"Bearer {OLD}x"}, "not valid"),
        ({"Authorization": f"Bearer {OLD.upper()}"}, "not valid"),
        ({"Authorization": "Bearer wrong", "X-API-Key": OLD}, "not valid"),
        ({"X-API-Key": ""}, "not valid"),
        ({"X-API-Key": f"{OLD},{NEW}"}, "not valid"),
        ({"X-API-Key": "\u00fc" * 16}, "not valid"),
    ],
)
def test_others_stay_out(
    client: httpx.Client, headers: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    # Refused before the body is received.
    assert client.post(PATH, content=b"x" * 1_000_000, headers=raw).status_code == 401
    response = client.post(PATH, json={}, headers=[*raw, (b"X-Request-ID", b"mine")])
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    body = response.json()
    assert (body["logId"], body["errorCode"]) == ("mine", 401)
    assert words in body["errorMsg"]
    assert OLD not in response.text + caplog.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/health/ready", 503),
        ("/", 200),
        ("/page/main.js", 200),
        ("/docs", 200),
        ("/docs/start.js", 200),
        (PATH, 401),
        ("/metrics", 401),
        ("/openapi.json", 401),
        ("/nowhere", 401),
        ("/health/", 200),
        ("/health/ready/", 503),
        ("/metrics/", 401),
        (f"{PATH}/", 401),
        ("/health//", 401),
        ("//health", 401),
        ("/page/%2e%2e/metrics", 404),
    ],
)
def test_what_is_open(client: httpx.Client, path: str, status: int) -> None:
    request = httpx.Request("GET", client.base_url.copy_with(raw_path=path.encode()))
    assert client.send(request).status_code == status


def test_the_description_says_so(client: httpx.Client) -> None:
    description = client.get("/openapi.json", headers={"X-API-Key": NEW}).json()
    validate(description)
    assert description["security"] == [{"bearer": []}, {"header": []}]
    paths = description["paths"]
    assert {path for path in paths for each in paths[path].values() if "security" in each} == {
        "/health",
        "/health/ready",
    }


# --- where keys come from ---


def test_keys_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the old one, until May\n{OLD}\n\n  {NEW}  \n")
    assert read_keys(str(file)) == (OLD, NEW)
    assert parse_keys(f"{OLD},{NEW}", "x") == (OLD, NEW)
    assert OLD not in repr(RestSettings("", api_keys=(OLD,)))
    assert OLD not in repr(create_app(RestSettings("grpc://x:1", api_keys=(OLD,))).user_middleware)


@pytest.mark.parametrize(
    ("mode", "warned"),
    [(0o644, True), (0o640, True), (0o604, True), (0o600, False), (0o400, False)],
)
def test_files_that_others_can_read(
    tmp_path: Path, mode: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(OLD)
    file.chmod(mode)
    read_keys(str(file))
    assert ("other users can read the secret" in caplog.text) == warned
    assert OLD not in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'.*keys' has no API key"),
        ("# nothing\n", "has no API key"),
        (f"{OLD}\nshort-secret", "API key 2 of '.*keys' is not valid: it needs 16 to 256"),
        ("two words and more than 16", "API key 1"),
        ("\u00fcber-sixteen-characters", "API key 1"),
    ],
)
def test_keys_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_keys(str(file))
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"can't read the API keys in '.*nowhere'"):
        read_keys(str(tmp_path / "nowhere"))
