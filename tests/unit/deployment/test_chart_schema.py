"""The chart: what Helm renders is what Kubernetes takes, whatever is chosen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import kubernetes_validate
import pytest

from helm import CHART, render, template

EVERYTHING = (
    "--set=models.source=export",
    "--set=models.pipeline=pipeline_name: human_keypoint_detection",
    "--set=triton.autoscaling.enabled=true",
    "--set=rest.autoscaling.enabled=true",
    "--set=rest.ingress.enabled=true",
    "--set=rest.ingress.host=pose.example.com",
    "--set=rest.ingress.className=nginx",
    "--set=rest.apiKey.existingSecret=keys",
    "--set=serviceMonitor.enabled=true",
    "--set=prometheusRule.enabled=true",
    "--set=prometheusRule.labels.release=monitoring",
    "--set=dashboard.enabled=true",
    "--set=networkPolicy.tracesEgress[0].ports[0].port=4318",
    '--set-json=triton.env=[{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://c:4318"}]',
    "--set=imagePullSecrets[0].name=registry",
    "--set=triton.nodeSelector.zone=a",
    "--set=rest.podAnnotations.owner=vision",
    "--set=networkPolicy.restEgress[0].ports[0].port=443",
    "--set=networkPolicy.ingressFrom[0].podSelector.matchLabels.app=gateway",
    '--set-json=rest.env=[{"name": "A", "value": "b"}]',
    '--set-json=models.extraVolumes=[{"name": "mine", "emptyDir": {}}]',
    '--set-json=models.extraVolumeMounts=[{"name": "mine", "mountPath": "/mine"}]',
    '--set-json=triton.affinity={"podAntiAffinity": {}}',
    '--set-json=rest.tolerations=[{"operator": "Exists"}]',
)
CHOICES = {
    "default": (),
    "gpu": (f"--values={CHART / 'values-gpu.yaml'}",),
    "volume": ("--set=models.source=volume", "--set=models.existingClaim=models"),
    "open": ("--set=networkPolicy.enabled=false", "--set=triton.sharedMemory=256Mi"),
    "public": ("--set=rest.ingress.enabled=true", "--set=rest.ingress.host=pose.example.com"),
    "everything": EVERYTHING,
}
KINDS_OF_OTHERS = {"PrometheusRule", "ServiceMonitor"}


# The oldest version that the chart is for, and the newest that schemas are known of.
@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("choice", CHOICES)
def test_kubernetes_takes_what_is_rendered(helm: Path, choice: str, version: str) -> None:
    manifests = render(helm, *CHOICES[choice])
    own = [manifest for manifest in manifests if manifest["kind"] not in KINDS_OF_OTHERS]
    assert {manifest["kind"] for manifest in own} >= {"Deployment", "Service"}
    for manifest in own:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_schemas_find_faults(helm: Path) -> None:
    """What the test above relies on."""
    deployment = next(m for m in render(helm) if m["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["readinesProbe"] = container.pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


def test_everything_is_rendered_once(helm: Path) -> None:
    manifests = render(helm, *EVERYTHING)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)
    assert {kind for kind, _ in names} == {
        *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy"),
        *("PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor"),
    }


def test_helm_finds_nothing_to_complain_about(helm: Path) -> None:
    done = subprocess.run([helm, "lint", "--strict", CHART], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("triton.replica=3", "additional properties 'replica' not allowed"),
        ("triton.replicas=many", "/triton/replicas"),
        ("models.source=baken", "/models/source"),
        ("models.source=volume", "models.existingClaim is needed"),
        ("triton.sharedMemory=plenty", "/triton/sharedMemory"),
        ("rest.service.port=0", "/rest/service/port"),
        ("rest.service.type=Public", "/rest/service/type"),
        ("rest.ingress.enabled=true", "rest.ingress.host is needed"),
        ("rest.service.type=LoadBalancer", "rest.apiKey.existingSecret is needed"),
        ("networkPolicy.dns.ports=53", "/networkPolicy/dns/ports"),
        ("triton.disruptionBudget.minAvailable=1", "/triton/disruptionBudget"),
    ],
)
def test_wrong_values_are_told(helm: Path, wrong: str, told: str) -> None:
    done = template(helm, f"--set={wrong}")
    assert done.returncode != 0
    assert told in done.stderr
