"""Warnings about ports that are open to other machines."""

from __future__ import annotations

import logging

import pytest

from tritonpose_server.cli.servers import warn_exposed_ports, warn_of_control_key
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.ports import is_loopback


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.1", "127.8.8.8", "::1", "localhost"], True),
        (["0.0.0.0", "::", "192.168.1.2", "gpu-server.example"], False),
    ],
)
def test_loopback(addresses: list[str], expected: bool) -> None:
    assert {is_loopback(address) for address in addresses} == {expected}


@pytest.mark.parametrize(
    ("host", "triton_host", "logged"),
    [
        ("127.0.0.1", "127.0.0.1", []),
        ("0.0.0.0", "127.0.0.1", [(logging.INFO, "opens the REST service only")]),
        ("127.0.0.1", "0.0.0.0", [(logging.WARNING, "let only trusted clients reach them")]),
        ("0.0.0.0", "::", [(logging.WARNING, "CVE-2025-23310, CVE-2025-23311, ")]),
    ],
)
def test_warnings(
    caplog: pytest.LogCaptureFixture, host: str, triton_host: str, logged: list[tuple[int, str]]
) -> None:
    caplog.set_level(logging.INFO, "tritonpose.server")
    warn_exposed_ports(host, triton_host)
    assert len(caplog.records) == len(logged)
    for record, (level, words) in zip(caplog.records, logged, strict=True):
        assert record.levelno == level
        assert words in record.getMessage()


@pytest.mark.parametrize(("key", "warnings"), [(None, 0), ("secret", 1)])
def test_a_control_key_is_warned_of(
    caplog: pytest.LogCaptureFixture, key: str | None, warnings: int
) -> None:
    warn_of_control_key(ServerOptions(control_key=key))
    assert ["Every user of this machine" in text for text in caplog.messages] == [True] * warnings
    assert "secret" not in caplog.text
