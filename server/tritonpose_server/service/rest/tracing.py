"""Spans of the REST service, where OpenTelemetry's environment variables ask for traces."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from tritonpose_pipeline.telemetry.otel import (
    TracingNotInstalledError,
    close_provider,
    make_provider,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from opentelemetry.sdk.trace import TracerProvider

# What monitoring asks every few seconds is no part of a trace.
_UNTRACED = "/health$,/health/ready$,/metrics$"


class Tracing:
    """Makes spans, or nothing where no traces are asked for."""

    def __init__(self, provider: TracerProvider | None) -> None:
        """Use a provider, None for no traces."""
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("tritonpose")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Tracing:
        """What environment variables ask for.

        Raises:
            ConfigError: They ask for traces, but OpenTelemetry's packages are missing.
        """
        from tritonpose.errors import ConfigError

        try:
            return cls(make_provider(environ, "tritonpose-rest"))
        except TracingNotInstalledError as error:
            raise ConfigError(str(error)) from error

    def span(self, name: str, *, to_triton: bool = False) -> AbstractContextManager[Any]:
        """Makes a span of what runs within; an exception marks it as failed.

        Args:
            name: Its name.
            to_triton: Whether it is a request to another service.
        """
        if self._tracer is None:
            return nullcontext()
        from opentelemetry.trace import SpanKind

        kind = SpanKind.CLIENT if to_triton else SpanKind.INTERNAL
        return self._tracer.start_as_current_span(name, kind=kind)

    def trace_requests(self, app: FastAPI) -> None:
        """Makes a span of each request; must be added after all other middleware.

        The span continues the trace that a request's header ``traceparent`` names, else begins one.
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
        """Id of the trace that what runs now belongs to: 32 hexadecimal digits; None for none."""
        if self._provider is None:
            return None
        from opentelemetry.trace import format_trace_id, get_current_span

        context = get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else None

    def close(self) -> None:
        """Sends what is left."""
        if self._provider is not None:
            close_provider(self._provider)
