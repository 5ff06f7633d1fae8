"""The manifests for KServe: their pods by Kubernetes' schema, the rest by what they refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

DOCKER = Path(__file__).resolve().parents[3] / "docker"


def load(name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((DOCKER / "kserve" / name).read_text())
    return manifest


@pytest.fixture
def runtime() -> dict[str, Any]:
    return load("serving-runtime.yaml")


def test_pods_are_what_kubernetes_takes(runtime: dict[str, Any]) -> None:
    spec = {key: runtime["spec"][key] for key in ("containers", "volumes")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pose"}, "spec": spec}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_pods_have_no_rights(runtime: dict[str, Any]) -> None:
    (container,) = runtime["spec"]["containers"]
    security = container["securityContext"]
    assert f"\nUSER {security['runAsUser']}:" in (DOCKER / "Dockerfile").read_text()
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_runtime_serves_what_kserve_fetches(runtime: dict[str, Any]) -> None:
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"
    assert {"name": "MODEL_REPOSITORY", "value": "/mnt/models"} in container["env"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in runtime["spec"]["volumes"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"


def test_service_finds_its_runtime(runtime: dict[str, Any]) -> None:
    model = load("inference-service.yaml")["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    formats = [(f["name"], f["version"]) for f in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
