"""What the options of ``tritonpose serve`` make of the REST service."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tritonpose import ConfigError
from tritonpose.cli.parsing import API_KEY_VARIABLE, Parser
from tritonpose.config import PipelineConfig
from tritonpose_server.cli.serve import add_rest_options, main, rest_settings
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.service.urls.settings import UrlSettings

OLD, NEW = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (API_KEY_VARIABLE, "TRITONPOSE_URL"):
        monkeypatch.delenv(name, raising=False)


def settings_of(*words: str, max_in_flight: int | None = None) -> RestSettings:
    parser = Parser(prog="serve")
    add_rest_options(parser)
    parser.set_defaults(stop_timeout=10.0)
    return rest_settings(
        parser.parse_args(words),
        PipelineConfig(),
        triton_url="grpc://localhost:8001",
        max_in_flight=max_in_flight,
    )


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
        *("--allowed_hosts", "S.example,*", "--cors_origins", "https://App.example"),
        *("--trusted_proxies", "10.0.0.0/8, ::1"),
    )
    assert made == RestSettings(
        "grpc://localhost:8001",
        host="0.0.0.0",
        port=443,
        api_keys=(OLD, NEW),
        allowed_hosts=("s.example", "*"),
        cors_origins=("https://app.example",),
        trusted_proxies=("10.0.0.0/8", "::1"),
        cert_file="cert.pem",
        key_file="key.pem",
        urls=UrlSettings("http", ("a.example", "*.b.example"), (8443,), 1_000_000, 3.0),
        max_in_flight=7,
        receive_timeout=2.5,
    )
    # Nothing that is started from here inherits it.
    assert API_KEY_VARIABLE not in os.environ
    assert made.address == "https://0.0.0.0:443"


@pytest.mark.parametrize("limit", [128, 7])
def test_a_limit_given_wins_over_the_tuning(limit: int) -> None:
    """Also one that equals the default."""
    words = ["--limit", f"max_in_flight={limit}"]
    assert settings_of(*words, max_in_flight=500).in_flight_limit == limit
    assert settings_of(max_in_flight=500).in_flight_limit == 500
    assert settings_of().in_flight_limit == 128


def test_every_limit_can_be_set() -> None:
    help_text = Parser(prog="serve")
    add_rest_options(help_text)
    names = help_text.format_help().split("set a limit: ")[1].replace(",", " ").split()
    made = settings_of(*(word for name in names for word in ("--limit", f"{name}=3")))
    values = {**vars(made), **{f"url_{name}": value for name, value in vars(made.urls).items()}}
    assert len(names) == 18
    assert {name: values[name] for name in names} == dict.fromkeys(names, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--url_hosts", "a.example"], "have no effect without --image_urls"),
        (["--image_urls", "https", "--url_hosts", "a/b"], "'a/b' isn't a valid host name"),
        (["--image_urls", "https", "--url_ports", "https"], "'https' isn't a valid port"),
        (["--api_key_file", "/nowhere/keys"], "can't read the API keys in '/nowhere/keys'"),
    ],
)
def test_what_is_wrong(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_of(*words)


def test_options_of_a_triton_that_is_not_started(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *("--url", "grpc://triton:8001", "--api_key_file", "/nowhere/keys"),
        *("--triton_host", "0.0.0.0", "--metrics_host", "::", "--grpc_port", "9001"),
        *("--http_port", "9000", "--metrics_port", "9002", "--tuning", "tuning.yaml"),
    ]
    with pytest.raises(ConfigError, match="nowhere"):
        main(words)
    warned = re.findall(r"--(\w+) has no effect", capsys.readouterr().err)
    assert warned == [
        *("tuning", "triton_host", "metrics_host", "grpc_port", "http_port", "metrics_port")
    ]
    with pytest.raises(ConfigError, match="nowhere"):
        main(words[:4])
    assert "has no effect" not in capsys.readouterr().err
