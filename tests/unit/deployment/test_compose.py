"""The services of one machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCKER = Path(__file__).resolve().parents[3] / "docker"
FILES = ("compose.yaml", "compose.gpu.yaml")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    return found


def test_files_are_as_the_specification_says() -> None:
    files = [DOCKER / name for name in FILES]
    check = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema"]
    done = subprocess.run([*check, "vendor.compose-spec", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_only_rest_can_be_published_beyond_this_machine(services: dict[str, Any]) -> None:
    published = {name: service.get("ports", []) for name, service in services.items()}
    rest = ["${TRITONPOSE_ADDRESS:-127.0.0.1}:8080:8080"]
    assert published.pop("rest") == published.pop("embedded") == rest
    assert published.pop("triton") == []
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_services_have_no_rights(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True


def test_memory_is_limited_and_no_password_is_known(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["mem_limit"]
    password = services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert password.startswith("${GRAFANA_PASSWORD:?")


def test_models_are_those_of_the_image(services: dict[str, Any]) -> None:
    """A volume would keep those of the image that first filled it."""
    assert "volumes" not in services["embedded"]


def test_each_profile_is_complete(services: dict[str, Any]) -> None:
    for profile, servers in (("triton", {"triton", "rest"}), ("embedded", {"embedded"})):
        members = {name for name, service in services.items() if profile in service["profiles"]}
        assert members == {*servers, "prometheus", "grafana"}
        for name in members:
            assert set(services[name].get("depends_on", ())) <= members


def test_targets_are_stages(services: dict[str, Any]) -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    for service in services.values():
        if "build" in service:
            assert f" AS {service['build']['target']}\n" in dockerfile


def test_grafana_finds_its_data_and_dashboards(services: dict[str, Any]) -> None:
    provisioning = DOCKER / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
    providers = yaml.safe_load((provisioning / "dashboards" / "tritonpose.yml").read_text())
    (provider,) = providers["providers"]
    volumes = [volume.split(":") for volume in services["grafana"]["volumes"]]
    mounts = {target: source for source, target, *_ in volumes}
    assert list((DOCKER / mounts[provider["options"]["path"]]).glob("*.json"))


def test_prometheus_finds_its_alerts(services: dict[str, Any]) -> None:
    config = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    (rules,) = config["rule_files"]
    volumes = [volume.split(":") for volume in services["prometheus"]["volumes"]]
    mounts = {target: source for source, target, *_ in volumes}
    folder, _, name = rules.rpartition("/")
    assert (DOCKER / mounts[folder] / name).exists()
