"""Requests and their stages as spans of a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tritonpose_pipeline.stages import Stages
from tritonpose_pipeline.telemetry.otel import close_provider, make_provider

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

CONTEXT_KEYS = ("traceparent", "tracestate")
"""What says which span a request belongs to (W3C's trace context)."""


def pop_context(parameters: dict[str, object]) -> dict[str, str]:
    """Take the trace context out of a request's parameters, as which Triton hands headers on."""
    found = [key for key in parameters if key.lower() in CONTEXT_KEYS]
    return {key.lower(): str(parameters.pop(key)) for key in found}


class Spans:
    """Makes the spans of a process, if traces are asked for."""

    def __init__(self, provider: TracerProvider | None) -> None:
        """Use a provider, None for no spans."""
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("tritonpose")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], service: str) -> Spans:
        """Make what environment variables ask for.

        Args:
            environ: Environment variables.
            service: What the process is called in its spans, where the environment says nothing.

        Raises:
            TracingNotInstalledError: OpenTelemetry's packages are missing.
        """
        return cls(make_provider(environ, service))

    @contextmanager
    def request(self, name: str, context: Mapping[str, str], start: int) -> Iterator[Stages]:
        """Make a span of a request.

        Args:
            name: Of the span.
            context: The trace context that came with the request; empty begins a trace.
            start: When the request came, in ns of ``time.perf_counter_ns``.

        Yields:
            What times the stages of the request, and makes spans of them.
        """
        if self._tracer is None:
            yield Stages()
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, StatusCode

        with self._tracer.start_as_current_span(
            name, extract(context), kind=SpanKind.SERVER, start_time=_wall_clock(start)
        ) as span:
            stages = _SpanStages(self._tracer)
            yield stages
            if stages.failed is not None:
                span.set_status(StatusCode.ERROR)

    def note(
        self,
        name: str,
        context: Mapping[str, str],
        start: int,
        end: int,
        attributes: dict[str, int],
    ) -> None:
        """Make a span of what is over.

        Args:
            name: Of the span.
            context: The trace context that it belongs to; empty makes no span.
            start: When it began, in ns of ``time.perf_counter_ns``.
            end: When it ended, likewise.
            attributes: Facts to tell with it.
        """
        if self._tracer is None or not context:
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        self._tracer.start_span(
            name,
            extract(context),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=_wall_clock(start),
        ).end(_wall_clock(end))

    @property
    def active(self) -> bool:
        """Whether there are traces."""
        return self._tracer is not None

    def context(self) -> dict[str, str]:
        """The trace context of the span that is open in this thread, to be passed on."""
        if self._tracer is None:
            return {}
        from opentelemetry.propagate import inject

        carrier: dict[str, str] = {}
        inject(carrier)
        return carrier

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            close_provider(self._provider)


class _SpanStages(Stages):
    """Stages that are spans, too."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(name), super().__call__(name):
            yield

    def came(self, name: str, start: int) -> None:
        super().came(name, start)
        self._tracer.start_span(name, start_time=_wall_clock(start)).end()


def _wall_clock(instant: int) -> int:
    """From ns of ``time.perf_counter_ns`` to ns since 1970."""
    return instant + time.time_ns() - time.perf_counter_ns()
