"""Times requests and their stages, and makes spans of a trace from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from tritonpose_pipeline.telemetry.otel import (
    TracingNotInstalledError,
    close_provider,
    make_provider,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

TimeStage = Callable[[str], AbstractContextManager[None]]
"""Gives a context that times the stage of this name."""

CONTEXT_KEYS = ("traceparent", "tracestate")
"""The parameters that name the span a request belongs to (W3C trace context)."""


class Stage(NamedTuple):
    """A stage that ended; its times are in ns of ``time.perf_counter_ns``."""

    name: str
    start: int
    end: int

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return (self.end - self.start) / 1e9


class Stages:
    """The stages of one request, for one thread, as in ``with stages("decode"): ...``.

    `finished` are in order; `failed_stage` is the one that an exception ended, None for none.
    """

    def __init__(self) -> None:
        self.finished: list[Stage] = []
        self.failed_stage: str | None = None

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """Time what runs within."""
        return _Timer(self, name)

    def record(self, name: str, start: int) -> None:
        """Record a stage that began elsewhere, at ns of ``time.perf_counter_ns``, and ends now."""
        self.finished.append(Stage(name, start, time.perf_counter_ns()))


class Spans:
    """Makes the spans of a process, if traces are asked for. Thread-safe."""

    def __init__(self, provider: TracerProvider | None) -> None:
        """Use a provider, None for no spans."""
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("tritonpose")

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], service: str, warn: Callable[[str], None]
    ) -> Spans:
        """Make the spans that OpenTelemetry's environment variables ask for.

        The environment may name the service otherwise. ``warn`` gets a warning if spans are asked
        for, but OpenTelemetry is not installed.
        """
        try:
            return cls(make_provider(environ, service))
        except TracingNotInstalledError as error:
            warn(str(error))
            return cls(None)

    @contextmanager
    def request(self, name: str, context: Mapping[str, str], start: int) -> Iterator[Stages]:
        """Make a span of a request that came at ``start``, in ns of ``time.perf_counter_ns``.

        Yields what times its stages and makes spans of them. An empty context begins a trace.
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
            if stages.failed_stage is not None:
                span.set_status(StatusCode.ERROR)

    def add(
        self,
        name: str,
        context: Mapping[str, str],
        start: int,
        end: int,
        attributes: dict[str, int],
    ) -> None:
        """Add a span of something that ended; an empty trace context makes none.

        Its times are in ns of ``time.perf_counter_ns``.
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
        """Return whether there are traces."""
        return self._tracer is not None

    def context(self) -> dict[str, str]:
        """Return the trace context of the span that is open in this thread, to be passed on."""
        if self._tracer is None:
            return {}
        from opentelemetry.propagate import inject

        carrier: dict[str, str] = {}
        inject(carrier)
        return carrier

    def close(self) -> None:
        """Send the remaining spans."""
        if self._provider is not None:
            close_provider(self._provider)


def untimed(_name: str) -> AbstractContextManager[None]:
    """Give a context that times nothing."""
    return nullcontext()


def pop_context(parameters: dict[str, object]) -> dict[str, str]:
    """Remove the trace context from a request's parameters (Triton forwards headers as such)."""
    found = [key for key in parameters if key.lower() in CONTEXT_KEYS]
    return {key.lower(): str(parameters.pop(key)) for key in found}


class _Timer:
    """Times one stage. A class: half the cost of a generator-based context manager."""

    __slots__ = ("_name", "_stages", "_start")

    def __init__(self, stages: Stages, name: str) -> None:
        self._stages = stages
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter_ns()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stages.finished.append(Stage(self._name, self._start, time.perf_counter_ns()))
        if kind is not None:
            self._stages.failed_stage = self._name


class _SpanStages(Stages):
    """Stages that are spans, too."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(name), super().__call__(name):
            yield

    def record(self, name: str, start: int) -> None:
        super().record(name, start)
        self._tracer.start_span(name, start_time=_wall_clock(start)).end()


def _wall_clock(instant: int) -> int:
    """Convert from ns of ``time.perf_counter_ns`` to ns since 1970."""
    return instant + time.time_ns() - time.perf_counter_ns()
