"""Connection options: what is accepted, what is refused, and that no secret is ever shown."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from certificates import Certificates, make_certificates
from tritonpose.errors import ConfigError
from tritonpose.transport import connect, connect_async
from tritonpose.transport.connection import Connection

SECRET = "s3cr3t-k3y"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    ("url", "scheme", "addresses"),
    [
        ("grpc://pose:8001", "grpc", ("pose:8001",)),
        ("http://[::1]:8000/", "http", ("[::1]:8000",)),
        ("grpc://a:1, grpc://b:2", "grpc", ("a:1", "b:2")),
        (["https://a:443", "https://b:443"], "https", ("a:443", "b:443")),
    ],
)
def test_urls(url: str | list[str], scheme: str, addresses: tuple[str, ...]) -> None:
    connection = Connection.from_options(url)
    assert (connection.scheme, connection.addresses) == (scheme, addresses)
    assert connection.url_of(addresses[0]) == f"{scheme}://{addresses[0]}"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"url": "localhost:8001"}, "grpc://, grpcs://, http://"),
        ({"url": "ftp://pose:21"}, "ftp://pose:21"),
        ({"url": "grpc://pose"}, "grpc://localhost:8001"),
        ({"url": "https://pose:x"}, "https://localhost:8000"),
        ({"url": "http://pose:8000/v2/models"}, "http://localhost:8000"),
        ({"url": "grpc://a:1,http://b:2"}, "same scheme"),
        ({"url": []}, "expected one URL"),
        ({"url": ""}, "url=''"),
        ({"url": 8001}, "url=8001"),
        ({"url": [8001]}, "url=[8001]"),
        ({"url": "http://pose:8000#x"}, "http://localhost:8000"),
        ({"url": "grpc://[::1"}, "Invalid IPv6 URL"),
        ({"url": "http://a b:80"}, "http://localhost:8000"),
        ({"url": "grpc://a:1,"}, "grpc://, grpcs://, http://"),
        ({"url": "local"}, "or local: for this process"),
        ({"url": "grpc://a..b:8001"}, "grpc://localhost:8001"),
        ({"url": f"http://{'a' * 64}.b:8000"}, "http://localhost:8000"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": True}, "timeout=True"),
        ({"retries": -1}, "retries=-1"),
        ({"retries": 0.5}, "retries=0.5"),
        ({"headers": {"a b": "c"}}, "'a b'"),
        ({"headers": {"Content-Length": "3"}}, "content-length"),
        ({"headers": {"grpc-timeout": "1S"}}, "grpc-timeout"),
        ({"headers": {"x-bytes-bin": "a"}}, "x-bytes-bin"),
        ({"headers": ["x-team"]}, "headers of type list"),
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": 5}, "no text"),
        ({"ca_file": "ca.pem"}, "grpcs://"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Connection.from_options(**{"url": "grpc://pose:8001", **arguments})
    assert word in str(caught.value)


def test_headers_and_key() -> None:
    connection = Connection.from_options("grpc://a:1", headers={"X-Team": "pose"}, api_key="k")
    assert connection.headers == {"x-team": "pose", "authorization": "Bearer k"}
    assert Connection.from_options("grpc://a:1").headers == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": f"{SECRET}\n"},
        {"headers": {"authorization": f"Basic {SECRET}\r\nx: y"}},
        {"headers": {"authorization": SECRET}, "api_key": "k"},
        {"headers": {"authorization": "k"}, "api_key": SECRET},
        {"url": f"grpc://user:{SECRET}@pose:8001"},
        {"api_key": SECRET, "timeout": 0},
    ],
)
def test_no_error_shows_a_secret(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Connection.from_options(**{"url": "grpc://pose:8001", **arguments})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_no_repr_shows_a_secret(scheme: str) -> None:
    url = f"{scheme}://pose:8001"
    assert SECRET not in repr(Connection.from_options(url, api_key=SECRET))
    transport = connect(url, api_key=SECRET)
    assert SECRET not in repr(transport)
    assert SECRET not in repr(connect_async(url, api_key=SECRET))
    transport.close()


def test_certificates_are_checked(certificates: Certificates, tmp_path: Path) -> None:
    def check(**files: object) -> str:
        with pytest.raises(ConfigError) as caught:
            Connection.from_options("grpcs://pose:8001", **files)  # type: ignore[arg-type]
        return str(caught.value)

    good = Connection.from_options(
        "grpcs://pose:8001",
        ca_file=certificates.ca,
        cert_file=str(certificates.client_cert),
        key_file=certificates.client_key,
    )
    assert good.tls is not None
    assert good.tls.ca_file == str(certificates.ca)

    missing = tmp_path / "missing.pem"
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    locked = tmp_path / "locked.pem"
    lock = f"openssl ec -aes256 -passout pass:x -in {certificates.client_key} -out {locked}"
    subprocess.run(lock.split(), check=True, capture_output=True)
    assert "missing.pem" in check(ca_file=missing)
    assert "text.pem" in check(ca_file=text)
    assert "belong together" in check(cert_file=certificates.client_cert)
    assert "belong together" in check(key_file=certificates.client_key)
    assert "fits the certificate" in check(
        cert_file=certificates.client_cert, key_file=certificates.server_key
    )
    assert "locked.pem" in check(cert_file=certificates.client_cert, key_file=locked)
