"""Metrics, traces and dashboard of a real service that sends its spans to a real receiver."""

from __future__ import annotations

import base64
import json
import logging
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import promql_parser
import pytest
import requests
import yaml
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_span_id, format_trace_id
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from leftovers import wait_until
from otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver
from own_triton import DOCKER
from rest_service import free_port, rest_service
from service_clients import HpsClient, encoded
from tritonpose import InvalidRequestError, create_pipeline
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest
from tritonpose_server.embedded.server import EmbeddedServer
from twins import url_of

ENDPOINT = "human-keypoint-detection"
STAGES = (
    *("queue", "options", "check", "memory", "core", "decode", "detector_input", "detector"),
    *("persons", "crops", "keypoint_model", "heatmaps", "respond"),
)


def dashboard_queries() -> dict[str, str]:
    """PromQL by panel and legend, Grafana's variables filled in: the window, and all releases."""
    dashboard = json.loads((DOCKER / "helm/tritonpose/files/dashboard.json").read_text("utf-8"))
    return {
        f"{panel['id']} {panel['title']}: {target['legendFormat']}": (
            target["expr"]
            .replace("$__rate_interval", "20s")
            .replace('"$namespace"', '".*"')
            .replace('"$release"', '".*"')
        )
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }


def alert_queries() -> dict[str, str]:
    """PromQL by the alert's name."""
    groups = yaml.safe_load((DOCKER / "helm/tritonpose/files/alerts.yml").read_text("utf-8"))[
        "groups"
    ]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    """The series that a query asks for; raises ValueError where it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def grouping_labels(query: str) -> set[str]:
    """The labels that a query's aggregations keep."""
    found: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


@dataclass(frozen=True)
class Service:
    """A service that is watched: its addresses, and who receives its spans."""

    rest: str
    triton: EmbeddedServer
    receiver: OtlpReceiver
    detector: str
    keypoint_model: str

    def ask(self, data: bytes, **headers: str) -> requests.Response:
        payload = {"image": base64.b64encode(data).decode(), "visualize": False}
        return requests.post(self.rest + ENDPOINT, json=payload, headers=headers, timeout=60)

    def scrape(self) -> list[Sample]:
        """All samples of the REST service and of Triton, as Prometheus names them."""
        samples = []
        for url in (f"{self.rest}metrics", self.triton.metrics_url):
            text = requests.get(url, timeout=10).text
            # Of counters whose type it knows, the parser changes the names.
            untyped = re.sub(r"^# TYPE .*\n", "", text, flags=re.MULTILINE)
            samples += [
                sample
                for family in text_string_to_metric_families(untyped)
                for sample in family.samples
            ]
        return samples

    def value(self, name: str, **labels: str) -> float:
        """A sample of the scrape, 0 where there is none."""
        return sum(s.value for s in self.scrape() if s.name == name and s.labels == labels)


@pytest.fixture(scope="module")
def service(
    embed: Callable[..., EmbeddedServer], installed_open_models: list[Path], photo: Path
) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch, otlp_receiver() as receiver:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with embed() as triton, rest_service(triton.grpc_url) as rest:
            names = (model.name for model in installed_open_models)
            running = Service(rest, triton, receiver, *names)
            assert running.ask(photo.read_bytes()).status_code == 200
            yield running


def spans_of(service: Service, trace: str, name: str) -> dict[str, ReceivedSpan]:
    """The spans of a trace by name, once the named one and all below it have come."""
    # Of each process the last to end; the processes send theirs at different times.
    last = {name, "human_keypoint_detection", service.detector, service.keypoint_model}

    def complete() -> bool:
        return last <= {span.name for span in service.receiver.spans(trace)}

    assert wait_until(complete)
    spans = service.receiver.spans(trace)
    assert len({span.id for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def test_one_trace_from_rest_to_the_models(service: Service, photo: Path) -> None:
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    answer = service.ask(photo.read_bytes(), traceparent=f"00-{trace}-{caller}-01")
    assert answer.status_code == 200
    spans = spans_of(service, trace, f"POST /{ENDPOINT}")
    root = spans[f"POST /{ENDPOINT}"]
    parents = {name: caller if name == root.name else "" for name in spans}
    parents |= dict.fromkeys(("read", "triton", "write"), root.id)
    parents["human_keypoint_detection"] = spans["triton"].id
    parents |= dict.fromkeys(STAGES, spans["human_keypoint_detection"].id)
    parents[service.detector] = spans["detector"].id
    parents[service.keypoint_model] = spans["keypoint_model"].id
    assert {name: span.parent for name, span in spans.items()} == parents
    for span in spans.values():
        outer = next((each for each in spans.values() if each.id == span.parent), root)
        # Clocks of one machine, each read twice.
        assert outer.start - 2_000_000 <= span.start <= span.end, span
        # A process may go on after its answer has reached the one that waits for it.
        assert span.service != outer.service or span.end <= outer.end + 2_000_000, span
        assert not span.failed
    assert {span.service for span in spans.values()} == {
        "tritonpose-rest",
        "tritonpose-pipeline",
        f"tritonpose-{service.detector}",
        f"tritonpose-{service.keypoint_model}",
    }
    assert spans[service.keypoint_model].attributes["tritonpose.images"] == 2


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_clients_that_trace_are_the_parents(service: Service, photo: Path, scheme: str) -> None:
    url = url_of(service.triton, scheme)
    with (
        create_pipeline("human_keypoint_detection", url=url) as client,
        TracerProvider().get_tracer("test").start_as_current_span("mine") as mine,
    ):
        next(client.predict(photo))
    context = mine.get_span_context()
    spans = spans_of(service, format_trace_id(context.trace_id), "human_keypoint_detection")
    assert spans["human_keypoint_detection"].parent == format_span_id(context.span_id)


def test_a_refused_image_marks_its_stage(service: Service) -> None:
    trace = "11111111111111111111111111111111"
    before = service.value("tritonpose_pipeline_rejections_total", reason="image")
    refusal = service.ask(b"Dear friend", traceparent=f"00-{trace}-2222222222222222-01")
    assert refusal.status_code == 422

    def failed() -> set[str]:
        return {span.name for span in service.receiver.spans(trace) if span.failed}

    assert wait_until(lambda: {"check", "human_keypoint_detection"} <= failed())
    assert "queue" not in failed()

    def rejections() -> float:
        return service.value("tritonpose_pipeline_rejections_total", reason="image") - before

    assert wait_until(lambda: rejections() == 1)
    assert service.value("tritonpose_rest_rejections_total", reason="invalid") >= 1


def test_metrics_add_up(service: Service, photo: Path) -> None:
    # What earlier tests did has been shown by now.
    time.sleep(2.5)
    before = service.value("tritonpose_pipeline_requests_total", outcome="ok")
    persons = service.value("tritonpose_pipeline_persons_total")
    rest_persons = service.value("tritonpose_rest_persons_total")
    for _ in range(3):
        assert service.ask(photo.read_bytes()).status_code == 200
    assert wait_until(
        lambda: service.value("tritonpose_pipeline_requests_total", outcome="ok") == before + 3
    )
    assert service.value("tritonpose_pipeline_persons_total") == persons + 6
    assert service.value("tritonpose_rest_persons_total") == rest_persons + 6
    name = "tritonpose_pipeline_stage_seconds"
    total = service.value("tritonpose_pipeline_request_seconds_sum")
    stages = 0.0
    for stage in STAGES:
        count = service.value(f"{name}_count", stage=stage)
        assert count >= 4, stage
        assert count == service.value(f"{name}_bucket", stage=stage, le="+Inf")
        stages += service.value(f"{name}_sum", stage=stage)
    assert 0.8 * total < stages <= total * 1.001
    assert service.value("tritonpose_pipeline_requests_in_flight") == 0


def test_dashboard_and_alerts_ask_for_what_there_is(service: Service) -> None:
    samples = service.scrape()
    queries = dashboard_queries() | alert_queries()
    assert len(queries) > 20
    for name, query in queries.items():
        for selector in selectors(query):
            if selector.name == "up":
                continue
            found = [sample for sample in samples if sample.name == selector.name]
            assert found, f"{name}: {selector.name} is not in the scrape"
            for matcher in selector.matchers.matchers:
                if matcher.name == "job":  # Prometheus adds it.
                    continue
                pattern = matcher.value if "Re" in str(matcher.op) else re.escape(matcher.value)
                found = [s for s in found if re.fullmatch(pattern, s.labels.get(matcher.name, ""))]
                assert found, f"{name}: no series of {selector.name} has {matcher}"
            # Kubernetes' own, which elsewhere no series has.
            for label in grouping_labels(query) - {"namespace", "release"}:
                assert any(label in sample.labels for sample in found), f"{name}: {label}"


def test_prometheus_has_an_answer_to_every_query(
    service: Service, photo: Path, tmp_path: Path
) -> None:
    """A real Prometheus, where one is installed (Debian's package `prometheus`)."""
    program, tool = shutil.which("prometheus"), shutil.which("promtool")
    if program is None or tool is None:
        pytest.skip("needs the programs prometheus and promtool")
    config = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    places = (service.rest, service.triton.metrics_url)
    for job, url in zip(config["scrape_configs"], places, strict=True):
        job["static_configs"] = [{"targets": [url.split("/")[2]]}]
    config["rule_files"] = [str(DOCKER / "helm/tritonpose/files/alerts.yml")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    subprocess.run([tool, "check", "config", tmp_path / "prometheus.yml"], check=True)
    port = free_port()
    arguments = [
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen([program, *arguments]) as running:
        try:

            def ask(query: str) -> list[object]:
                url = f"http://127.0.0.1:{port}/api/v1/query"
                answer = requests.get(url, params={"query": query}, timeout=5).json()
                assert answer["status"] == "success", f"{query}: {answer}"
                result: list[object] = answer["data"]["result"]
                return result

            def ready() -> bool:
                try:
                    return len(ask('up{job=~"tritonpose-.*"} == 1')) == 2
                # It listens before it answers.
                except requests.RequestException:
                    return False

            assert wait_until(ready)
            # rate() needs two scrapes, and requests between them.
            for _ in range(8):
                assert service.ask(photo.read_bytes()).status_code == 200
                time.sleep(1)
            assert {
                name: query for name, query in dashboard_queries().items() if not ask(query)
            } == {}
            assert not ask("ALERTS")
            rules = requests.get(f"http://127.0.0.1:{port}/api/v1/rules", timeout=5).json()
            health = [
                rule["health"] for group in rules["data"]["groups"] for rule in group["rules"]
            ]
            assert health == ["ok"] * len(alert_queries())
        finally:
            running.terminate()


def test_requests_keep_their_names_up_to_the_log(
    server: EmbeddedServer,
    url: str,
    service: Service,
    photo: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Cut in the middle, the photo is refused only by the pipeline."""
    caplog.set_level(logging.DEBUG, "tritonpose.triton")
    damaged = photo.read_bytes()[:3000]
    request = InferRequest(image=damaged)
    with closing(connect(url)) as transport, pytest.raises(InvalidRequestError) as caught:
        transport.infer(request)
    assert caught.value.request_id == request.request_id
    answer = HpsClient(server.grpc_url).call(image=encoded(damaged), logId="told-by-the-client")
    assert answer["errorCode"] == 422
    answer = service.ask(damaged, **{"X-Request-ID": "in-the-header"}).json()
    assert answer["logId"] == "in-the-header"
    for name in (request.request_id, "told-by-the-client", "in-the-header"):
        assert wait_until(lambda: f"request_id={name} refused after " in caplog.text)  # noqa: B023
