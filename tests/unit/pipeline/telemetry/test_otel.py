"""Whether there are traces, and what travels with requests."""

from __future__ import annotations

import socket
import sys
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tritonpose.transport.messages import trace_headers
from tritonpose_pipeline.telemetry.otel import (
    TracingNotInstalledError,
    make_provider,
    traces_endpoint,
)
from tritonpose_pipeline.telemetry.spans import Spans, pop_context
from tritonpose_server.embedded.triton_command import trace_arguments

HERE = "http://here:4318"


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "mine"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, f"{HERE}/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{HERE}/"}, f"{HERE}/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{HERE}/mine"}, f"{HERE}/mine"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": HERE,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{HERE}/mine",
            },
            f"{HERE}/mine",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "True"}, None),
    ],
)
def test_environment_decides(environ: dict[str, str], endpoint: str | None) -> None:
    assert traces_endpoint(environ) == endpoint
    assert bool(trace_arguments(environ)) == (endpoint is not None)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingNotInstalledError, match=r"pip install opentelemetry-sdk"):
        make_provider({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, "any")
    assert make_provider({}, "any") is None


def test_without_traces_nothing_is_passed_on() -> None:
    spans = Spans.from_environment({}, "any", print)
    with spans.request("request", {"traceparent": "00-" + 32 * "1" + "-" + 16 * "2" + "-01"}, 0):
        assert spans.context() == {}
    assert not spans.active


def test_context_is_taken_out_of_a_requests_parameters() -> None:
    parameters: dict[str, object] = {"Traceparent": "a", "flip": True, "tracestate": "b"}
    assert pop_context(parameters) == {"traceparent": "a", "tracestate": "b"}
    assert parameters == {"flip": True}


def test_clients_tell_of_their_span_only_where_it_is_recorded() -> None:
    assert trace_headers() == {}
    with TracerProvider(sampler=ALWAYS_OFF).get_tracer("test").start_as_current_span("span"):
        assert trace_headers() == {}
    with TracerProvider().get_tracer("test").start_as_current_span("span") as span:
        context = span.get_span_context()
        sent = trace_headers()["traceparent"]
        assert sent.split("-")[1:3] == [
            trace.format_trace_id(context.trace_id),
            trace.format_span_id(context.span_id),
        ]


def test_a_receiver_that_does_not_answer_holds_nothing_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        spans = Spans.from_environment(environ, "test", print)
        with spans.request("request", {}, 0):
            pass
        spans.close()
        connection, _ = silent.accept()
        # It was asked, and is still waited for, but not by us.
        assert any(thread.name == "last-spans" for thread in threading.enumerate())
        connection.close()
