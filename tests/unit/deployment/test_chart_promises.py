"""The chart: what its pods may do, who reaches them, and how they come and go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import CHART, render

EXPORT = "--set=models.source=export"
AUTOSCALED = ("--set=triton.autoscaling.enabled=true", "--set=rest.autoscaling.enabled=true")

Manifest = dict[str, Any]


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (
        manifest
        for manifest in manifests
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    )
    return found


def pod(manifests: list[Manifest], component: str) -> Manifest:
    spec: Manifest = find(manifests, "Deployment", f"pose-{component}")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("component", ["triton", "rest"])
def test_pods_have_no_rights(helm: Path, component: str) -> None:
    spec = pod(render(helm, EXPORT), component)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts <= {volume["name"] for volume in spec["volumes"]}


def test_users_are_those_of_the_images(helm: Path) -> None:
    dockerfile = (CHART.parents[1] / "Dockerfile").read_text()
    stages = dict(part.split("\n", 1) for part in dockerfile.split("\nFROM ")[1:])
    for component in ("triton", "rest"):
        (stage,) = (text for head, text in stages.items() if head.endswith(f" AS {component}"))
        user = pod(render(helm), component)["securityContext"]["runAsUser"]
        assert f"\nUSER {user}:{user}\n" in stage


def test_shared_memory_is_of_the_size_chosen(helm: Path) -> None:
    spec = pod(render(helm, "--set=triton.sharedMemory=3Gi"), "triton")
    volume = next(v for v in spec["volumes"] if v["name"] == "shared-memory")
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "3Gi"}
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in spec["containers"][0][
        "volumeMounts"
    ]


@pytest.mark.parametrize("component", ["triton", "rest"])
def test_a_rollout_takes_no_pod_away_before_another_is_ready(helm: Path, component: str) -> None:
    manifests = render(helm)
    deployment = find(manifests, "Deployment", f"pose-{component}")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    spec = deployment["template"]["spec"]
    (container,) = spec["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    under_way = {"triton": 30, "rest": 10}[component]
    assert spec["terminationGracePeriodSeconds"] >= pause + under_way + 10
    # A pod that is not ready is given no requests; one that does not live is restarted.
    assert container["readinessProbe"] != container["livenessProbe"]
    budget = find(manifests, "PodDisruptionBudget", f"pose-{component}")["spec"]
    assert budget["selector"] == deployment["selector"]
    assert budget["maxUnavailable"] == 1


def test_only_rest_is_public(helm: Path) -> None:
    key = "--set=rest.apiKey.existingSecret=keys"
    manifests = render(helm, "--set=rest.service.type=LoadBalancer", key)
    triton, rest = (
        find(manifests, "NetworkPolicy", f"pose-{c}")["spec"] for c in ("triton", "rest")
    )
    grpc, metrics = triton["ingress"]
    assert grpc["from"] == [{"podSelector": rest["podSelector"]}]
    assert [port["port"] for port in grpc["ports"]] == ["grpc"]
    assert [port["port"] for port in metrics["ports"]] == ["metrics"]
    assert all("namespaceSelector" in peer for peer in metrics["from"])
    assert triton["egress"] == []
    assert rest["ingress"] == [{"ports": [{"protocol": "TCP", "port": "http"}]}]
    assert rest["egress"][-1]["to"] == [{"podSelector": triton["podSelector"]}]
    for policy in (triton, rest):
        assert policy["policyTypes"] == ["Ingress", "Egress"]
    services = [m for m in manifests if m["kind"] == "Service"]
    public = [s["metadata"]["name"] for s in services if s["spec"].get("clusterIP") != "None"]
    assert public == ["pose-rest"]


def test_who_may_call_rest(helm: Path) -> None:
    chosen = "--set=networkPolicy.ingressFrom[0].podSelector.matchLabels.app=gateway"
    (rule,) = find(render(helm, chosen), "NetworkPolicy", "pose-rest")["spec"]["ingress"]
    assert rule["from"][0] == {"podSelector": {"matchLabels": {"app": "gateway"}}}
    # Prometheus reads the same port.
    assert "namespaceSelector" in rule["from"][1]


def test_selectors_find_their_pods(helm: Path) -> None:
    manifests = render(helm)
    for component in ("triton", "rest"):
        deployment = find(manifests, "Deployment", f"pose-{component}")["spec"]
        labels = deployment["template"]["metadata"]["labels"].items()
        service = find(manifests, "Service", f"pose-{component}")["spec"]
        policy = find(manifests, "NetworkPolicy", f"pose-{component}")["spec"]
        for selector in (
            deployment["selector"]["matchLabels"],
            service["selector"],
            policy["podSelector"]["matchLabels"],
        ):
            assert selector["app.kubernetes.io/component"] == component
            assert selector.items() <= labels
        ports = {port["name"] for port in deployment["template"]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["ports"]} <= ports


def test_rest_asks_all_tritons_through_a_headless_service(helm: Path) -> None:
    manifests = render(helm)
    service = find(manifests, "Service", "pose-triton")["spec"]
    assert service["clusterIP"] == "None"
    arguments = pod(manifests, "rest")["containers"][0]["args"]
    assert arguments[0] == "serve"
    assert "--url=grpc://pose-triton:8001" in arguments


def test_sources_of_models(helm: Path) -> None:
    baked = pod(render(helm), "triton")
    assert "initContainers" not in baked
    assert "/models" not in [m["mountPath"] for m in baked["containers"][0]["volumeMounts"]]
    chosen = (
        "--set=models.source=volume",
        "--set=models.existingClaim=c",
        "--set=models.subPath=d",
    )
    volume = pod(render(helm, *chosen), "triton")
    claim = {"claimName": "c", "readOnly": True}
    assert {"name": "models", "persistentVolumeClaim": claim} in volume["volumes"]
    assert {"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "d"} in volume[
        "containers"
    ][0]["volumeMounts"]
    exported = pod(render(helm, EXPORT), "triton")
    (init,) = exported["initContainers"]
    assert init["args"] == ["models", "export", "/models"]
    # A folder of a volume says nothing of what is exported.
    exported = pod(render(helm, EXPORT, "--set=models.subPath=d"), "triton")
    mounts = exported["containers"][0]["volumeMounts"]
    assert {"name": "models", "mountPath": "/models", "readOnly": True} in mounts


def test_pipeline_file(helm: Path, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    text = "pipeline_name: human_keypoint_detection\nSubModules: {}\n"
    values.write_text(yaml.safe_dump({"models": {"source": "export", "pipeline": text}}))
    manifests = render(helm, f"--values={values}")
    assert find(manifests, "ConfigMap", "pose-pipeline")["data"] == {"pipeline.yaml": text}
    (init,) = pod(manifests, "triton")["initContainers"]
    assert "--pipeline=/etc/tritonpose/pipeline.yaml" in init["args"]


def test_autoscalers_ask_for_metrics_that_the_adapter_has(helm: Path) -> None:
    manifests = render(helm, *AUTOSCALED)
    adapter = yaml.safe_load((CHART.parent / "prometheus-adapter-values.yaml").read_text())
    offered = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    asked = set()
    for component in ("triton", "rest"):
        scaler = find(manifests, "HorizontalPodAutoscaler", f"pose-{component}")["spec"]
        asked |= {m["pods"]["metric"]["name"] for m in scaler["metrics"] if m["type"] == "Pods"}
        assert scaler["scaleTargetRef"]["name"] == f"pose-{component}"
        # An autoscaler and a fixed number would overrule each other at each upgrade.
        assert "replicas" not in find(manifests, "Deployment", f"pose-{component}")["spec"]
    assert asked == offered


def test_gpus(helm: Path) -> None:
    spec = pod(render(helm, f"--values={CHART / 'values-gpu.yaml'}"), "triton")
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "MODEL_CONFIG_NAME", "value": "onnxruntime"} in container["env"]


def test_api_key_comes_from_a_secret(helm: Path) -> None:
    chosen = ("--set=rest.apiKey.existingSecret=keys", "--set=serviceMonitor.enabled=true")
    manifests = render(helm, *chosen)
    monitor = find(manifests, "ServiceMonitor", "pose-rest")["spec"]["endpoints"][0]
    assert monitor["authorization"] == {"credentials": {"name": "keys", "key": "api-key"}}
    spec = pod(manifests, "rest")
    source = {"secretKeyRef": {"name": "keys", "key": "api-key"}}
    assert {"name": "TRITONPOSE_API_KEY", "valueFrom": source} in spec["containers"][0]["env"]


def test_metrics_are_published_to_nobody_without_a_key(helm: Path) -> None:
    public = ("--set=rest.ingress.enabled=true", "--set=rest.ingress.host=pose.example.com")
    for keys, expected in (
        ((), {"/metrics": "pose-closed", "/": "pose-rest"}),
        (("--set=rest.apiKey.existingSecret=keys",), {"/": "pose-rest"}),
    ):
        manifests = render(helm, *public, *keys)
        (rule,) = find(manifests, "Ingress", "pose")["spec"]["rules"]
        backends = {
            path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]
        }
        assert backends == expected
    closed = find(render(helm, *public), "Service", "pose-closed")["spec"]
    assert "selector" not in closed


def test_alerts_and_dashboard_find_what_is_scraped(helm: Path) -> None:
    chosen = ("serviceMonitor", "prometheusRule", "dashboard")
    manifests = render(helm, *(f"--set={name}.enabled=true" for name in chosen))
    files = CHART / "files"
    rules = find(manifests, "PrometheusRule", "pose")["spec"]
    assert rules == yaml.safe_load((files / "alerts.yml").read_text())
    dashboard = find(manifests, "ConfigMap", "pose-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    text = dashboard["data"]["tritonpose.json"]
    assert json.loads(text) == json.loads((files / "dashboard.json").read_text())
    prometheus = yaml.safe_load((CHART.parents[1] / "prometheus/prometheus.yml").read_text())
    for component in ("rest", "triton"):
        (endpoint,) = find(manifests, "ServiceMonitor", f"pose-{component}")["spec"]["endpoints"]
        labels = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}
        assert labels == {"job": f"tritonpose-{component}", "release": "pose"}
        assert labels["job"] in {job["job_name"] for job in prometheus["scrape_configs"]}
        assert labels["job"].removeprefix("tritonpose-") in str(rules)


def test_traces_and_names_have_a_way_out(helm: Path) -> None:
    egress = find(render(helm), "NetworkPolicy", "pose-triton")["spec"]["egress"]
    assert egress == []
    chosen = (
        '--set-json=networkPolicy.tracesEgress=[{"ports": [{"port": 4318}]}]',
        '--set-json=networkPolicy.dns.to=[{"ipBlock": {"cidr": "169.254.20.10/32"}}]',
        "--set=networkPolicy.dns.ports[0]=5353",
        '--set-json=triton.env=[{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://c"}]',
    )
    manifests = render(helm, *chosen)
    for component in ("rest", "triton"):
        rules = find(manifests, "NetworkPolicy", f"pose-{component}")["spec"]["egress"]
        assert {"ports": [{"port": 4318}]} in rules
        names = rules[0]
        assert names["to"] == [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
        assert {port["port"] for port in names["ports"]} == {5353}
    (container,) = pod(manifests, "triton")["containers"]
    assert {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://c"} in container["env"]
