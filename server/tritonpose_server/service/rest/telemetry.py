"""Metrics for Prometheus, and spans where OpenTelemetry's environment variables ask for them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from tritonpose import __version__
from tritonpose.errors import ConfigError
from tritonpose_pipeline.telemetry.otel import (
    TracingNotInstalledError,
    close_provider,
    make_provider,
)
from tritonpose_server.service.contract.failures import (
    BUSY,
    PAGE,
    TRITON_BUSY,
    URL_HOST,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import FastAPI
    from opentelemetry.sdk.trace import TracerProvider

HUNG_UP = 499
"""Status of a request whose client closed its connection; nginx's number for it."""

_STAGES = ("read", "fetch", "triton", "write")
_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)

# Why a request got no result, by the status of its answer.
_REASONS = {
    401: "api_key",
    403: "url",
    408: "slow_body",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    HUNG_UP: "hung_up",
    500: "internal",
    502: URL_HOST,
    503: "triton_unavailable",
    504: "triton_timeout",
}

DROPPED = "dropped"
"""Status of a frame that made way for a newer one."""

_FRAME_FAILURES = (422, 500, 503, 504)

# Monitoring asks for these every few seconds.
_UNTRACED = "/health$,/health/ready$,/metrics$"


class RestMetrics:
    """Metrics of one service; only requests for keypoints count.

    ``stages`` are seconds by stage: ``read``, ``fetch``, ``triton`` and ``write``; ``receiving``
    counts bodies; ``ready`` is set by the endpoint that shows the metrics.
    """

    def __init__(self, in_flight: Callable[[], int], streams: Callable[[], int]) -> None:
        """Start at zero; the functions count requests worked on, and streams.

        A stream is a WebSocket on which people are followed.
        """
        registry = self._registry = CollectorRegistry()
        # Memory, CPU time, files, and the time of its start: changes of this are restarts.
        ProcessCollector(registry=registry)
        build = Info("tritonpose_rest_build", "Version of the service.", registry=registry)
        build.info({"version": __version__})
        self.ready = Gauge(
            "tritonpose_rest_ready",
            "Whether images can be processed: 1, or 0 while Triton can't be reached.",
            registry=registry,
        )
        self._requests = Counter(
            "tritonpose_rest_requests",
            "Requests for keypoints, images of batches, by HTTP status; 499: the client hung up.",
            ["status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "tritonpose_rest_request_seconds",
            "From the end of a request's headers to its answer; for an image of a batch, from "
            "when it is begun.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "tritonpose_rest_stage_seconds",
            "Reading a request, fetching its image, waiting for Triton, writing the answer.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._rejections = Counter(
            "tritonpose_rest_rejections",
            "Requests without a result.",
            ["reason"],
            registry=registry,
        )
        # At zero from the start, so that the first of a kind counts as an increase.
        for status in (int(HTTPStatus.OK), *_REASONS):
            self._requests.labels(str(status))
        for stage in _STAGES:
            self.stages.labels(stage)
        for reason in (BUSY, PAGE, TRITON_BUSY, *_REASONS.values()):
            self._rejections.labels(reason)
        self.people = Counter("tritonpose_rest_persons", "People found.", registry=registry)
        Gauge(
            "tritonpose_rest_requests_in_flight", "Requests worked on.", registry=registry
        ).set_function(in_flight)
        self.receiving = Gauge(
            "tritonpose_rest_requests_receiving",
            "Requests whose body is being received.",
            registry=registry,
        )
        self.frames = Counter(
            "tritonpose_rest_frames",
            "Frames of streams by the status of their answer: HTTP's, or dropped.",
            ["status"],
            registry=registry,
        )
        for outcome in (str(HTTPStatus.OK.value), *map(str, _FRAME_FAILURES), DROPPED):
            self.frames.labels(outcome)
        Gauge(
            "tritonpose_rest_streams", "WebSockets on which people are followed.", registry=registry
        ).set_function(streams)

    def count_request(self, status: int, seconds: float, reason: str | None = None) -> None:
        """Count a request that took some seconds, by the HTTP status of its answer.

        ``reason`` says why it got no result, where the status alone doesn't tell.
        """
        # As a number: of a member of an enumeration, Python 3.10 writes the name.
        self._requests.labels(str(int(status))).inc()
        self._seconds.observe(seconds)
        if status >= HTTPStatus.BAD_REQUEST:
            self._rejections.labels(reason or _REASONS.get(status, "other")).inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class RestTracing:
    """Makes spans; does nothing where traces are off."""

    def __init__(self, provider: TracerProvider | None) -> None:
        """Use a provider, None for no traces."""
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("tritonpose")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> RestTracing:
        """Read OpenTelemetry's environment variables; ConfigError if its packages are missing."""
        try:
            return cls(make_provider(environ, "tritonpose-rest"))
        except TracingNotInstalledError as error:
            raise ConfigError(str(error)) from error

    def span(self, name: str, *, to_triton: bool = False) -> AbstractContextManager[Any]:
        """Make a span of the context; an exception marks it as failed."""
        if self._tracer is None:
            return nullcontext()
        from opentelemetry.trace import SpanKind

        kind = SpanKind.CLIENT if to_triton else SpanKind.INTERNAL
        return self._tracer.start_as_current_span(name, kind=kind)

    def frame_span(self) -> AbstractContextManager[Any]:
        """Make a span of a frame, which begins a trace: streams may last for days."""
        if self._tracer is None:
            return nullcontext()
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, SpanKind, get_current_span

        stream = get_current_span().get_span_context()
        links = [Link(stream)] if stream.is_valid else []
        return self._tracer.start_as_current_span(
            "frame", context=Context(), kind=SpanKind.SERVER, links=links
        )

    def trace_requests(self, app: FastAPI) -> None:
        """Make a span of each request; to be called after all other middleware is added.

        The span continues the trace of a request's header ``traceparent``, or else begins one.
        """
        if self._provider is None:
            return
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        app.add_middleware(
            OpenTelemetryMiddleware,
            excluded_urls=_UNTRACED,
            tracer_provider=self._provider,
            exclude_spans=["receive", "send"],
        )

    def trace_id(self) -> str | None:
        """Return the id of the current trace: 32 hexadecimal digits; None without a trace."""
        if self._provider is None:
            return None
        from opentelemetry.trace import format_trace_id, get_current_span

        context = get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else None

    def close(self) -> None:
        """Send the remaining spans."""
        if self._provider is not None:
            close_provider(self._provider)
