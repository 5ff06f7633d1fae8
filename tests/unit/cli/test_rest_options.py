"""What the options of ``tritonpose serve`` make of the REST service."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tritonpose import ConfigError
from tritonpose.cli import main
from tritonpose.cli.parsing import API_KEY_VARIABLE, Parser
from tritonpose_server.cli.rest_options import add_rest_options, rest_settings
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.service.urls import UrlSettings

OLD, NEW = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (API_KEY_VARIABLE, "TRITONPOSE_URL"):
        monkeypatch.delenv(name, raising=False)


def settings_of(*words: str) -> RestSettings:
    parser = Parser(prog="serve")
    add_rest_options(parser)
    return rest_settings(parser.parse_args(words), triton_url="grpc://localhost:8001")


def test_defaults() -> None:
    assert settings_of() == RestSettings("grpc://localhost:8001")


def test_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{OLD}\n")
    monkeypatch.setenv(API_KEY_VARIABLE, NEW)
    made = settings_of(
        *("--host", "0.0.0.0", "--port", "443", "--api_key_file", str(keys)),
        *("--cert_file", "cert.pem", "--key_file", "key.pem", "--image_urls", "http"),
        *("--url_hosts", "A.example, *.b.example", "--url_ports", "8443"),
        *("--limit", "max_in_flight=7", "--limit", "receive_timeout=2.5"),
        *("--limit", "url_max_bytes=1e6", "--limit", "url_timeout=3"),
    )
    assert made == RestSettings(
        "grpc://localhost:8001",
        host="0.0.0.0",
        port=443,
        api_keys=(OLD, NEW),
        cert_file="cert.pem",
        key_file="key.pem",
        urls=UrlSettings("http", ("a.example", "*.b.example"), (8443,), 1_000_000, 3.0),
        max_in_flight=7,
        receive_timeout=2.5,
    )
    # Nothing that is started from here inherits it.
    assert API_KEY_VARIABLE not in os.environ
    assert made.address == "https://0.0.0.0:443"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "max_in_flight=2.5"], "max_in_flight: expected a whole number, got 2.5"),
        (["--url_hosts", "a.example"], "mean nothing without --image_urls"),
        (["--image_urls", "https", "--url_hosts", "a/b"], "'a/b' isn't a valid host name"),
        (["--image_urls", "https", "--url_ports", "https"], "'https' isn't a valid port"),
        (["--api_key_file", "/nowhere/keys"], "can't read the API keys in '/nowhere/keys'"),
    ],
)
def test_what_is_wrong(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_of(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "speed=9"], "'speed' is no limit: choose of max_connections, "),
        (["--limit", "workers=0"], "workers must be a positive number, got '0'"),
        (["--limit", "workers"], "workers must be a positive number, got ''"),
        (["--image_urls", "ftp"], "invalid choice: 'ftp'"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings_of(*words)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cert_file", "/nowhere/cert.pem"], "cert_file and key_file belong together"),
        (
            ["--cert_file", "/nowhere/cert.pem", "--key_file", "/nowhere/key.pem"],
            "cert_file='/nowhere/cert.pem': No such file",
        ),
    ],
)
def test_certificates_are_checked_first(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *words]) == 2
    assert message in capsys.readouterr().err


def test_credentials_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "photo.jpg", "--api_key", "secret", "--ca_file", "ca.pem"])
    told = capsys.readouterr().err
    assert "--api_key, --ca_file without --url" in told
    assert "secret" not in told
