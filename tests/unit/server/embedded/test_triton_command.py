"""What tritonserver's command line tells other users, and what it opens to whom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.triton_command import Ports, triton_command
from tritonpose_server.embedded.tuning import PipelineTuning, Tuning


def command(**options: object) -> list[str]:
    settings = ServerOptions(**options)  # type: ignore[arg-type]
    place = Path("/tmp/place")
    return triton_command(
        Path("/bin/tritonserver"), "id", place, [place / "0"], ["det"], settings, Ports(1, 2, 3)
    )


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("10.0.0.7", "10.0.0.7"),
    ],
)
def test_where_this_machine_reaches_it(address: str, reached: str) -> None:
    assert ServerOptions(address=address).local_host == reached


def restrictions(arguments: list[str]) -> dict[str, tuple[str, str]]:
    """Header and value that open an API, by protocol and API."""
    found = {}
    for argument in arguments:
        match = re.fullmatch(r"--(http|grpc)-restricted-\w+=([^:]+):([^=]+)=(.*)", argument, re.S)
        if match:
            protocol, apis, header, value = match.groups()
            found |= {f"{protocol} {api}": (header, value) for api in apis.split(",")}
    return found


CONTROL = ("model-repository", "shared-memory", "trace", "logging")


@pytest.mark.parametrize("api", CONTROL)
def test_no_header_opens_control_unless_the_operator_names_a_key(api: str) -> None:
    closed = restrictions(command())
    header, value = closed[f"http {api}"]
    assert "\n" in header
    assert "\n" in value
    header, value = closed[f"grpc {api}"]
    assert header != header.lower()
    opened = restrictions(command(control_key="secret"))
    for protocol in ("http", "grpc"):
        assert opened[f"{protocol} {api}"] == ("tritonpose-control", "secret")


@pytest.mark.parametrize("api", ["inference", "metadata", "model-config", "statistics"])
def test_browsers_can_not_send_what_opens_http(api: str) -> None:
    """By the Fetch standard, names that begin so are forbidden to pages."""
    header, _ = restrictions(command())[f"http {api}"]
    assert header.startswith("sec-")
    assert f"grpc {api}" not in restrictions(command())


def test_no_further_port_is_opened() -> None:
    assert {"--allow-vertex-ai=false", "--allow-sagemaker=false"} <= set(command())


def test_threads_follow_the_requests_in_flight() -> None:
    tuning = Tuning(pipeline=PipelineTuning(max_in_flight=300))
    for options, threads in (({}, 160), ({"tuning": tuning}, 332)):
        assert f"--backend-config=python,thread-pool-size={threads}" in command(**options)


def test_the_metrics_may_be_opened_alone() -> None:
    arguments = command(metrics_address="0.0.0.0")
    assert "--metrics-address=0.0.0.0" in arguments
    assert {"--grpc-address=127.0.0.1", "--http-address=127.0.0.1"} <= set(arguments)


def test_addresses_of_ipv6_are_written_as_each_of_tritons_libraries_reads_them() -> None:
    expected = {"--grpc-address=[::1]", "--http-address=ipv6:::1", "--metrics-address=ipv6:::1"}
    assert expected <= set(command(address="::1"))
