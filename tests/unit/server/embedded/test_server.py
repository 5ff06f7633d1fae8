"""Errors of a server that does not start."""

from __future__ import annotations

import pytest

from tritonpose_server.embedded.server import start_error
from tritonpose_server.errors import PortInUseError

TAKEN = "failed to start {} service: Unavailable - Socket '127.0.0.1:46107' already in use "


@pytest.mark.parametrize("service", ["GRPC", "HTTP", "Metrics"])
def test_a_port_that_was_taken_meanwhile(service: str) -> None:
    error = start_error(f"first\n{TAKEN.format(service)}\nlast")
    assert isinstance(error, PortInUseError)
    assert "first" in str(error)


@pytest.mark.parametrize(
    "line",
    [
        "failed to load 'det' version 1: Internal: failed to start the model",
        "model.py: Device or resource already in use",
        "Failed to start HTTP service: Invalid argument - the address is unknown",
    ],
)
def test_other_failures_are_not_taken_for_it(line: str) -> None:
    error = start_error(line)
    assert not isinstance(error, PortInUseError)
    assert str(error) == f"the server ended while starting:\n{line}"
