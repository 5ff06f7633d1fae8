"""Sends traces where OpenTelemetry's own environment variables say, if they do."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_SERVICE = "OTEL_SERVICE_NAME"

# OpenTelemetry tries an unreachable receiver for ten seconds: all the time a server has to stop.
_LAST_SPANS_SECONDS = 2.0


class TracingNotInstalledError(Exception):
    """Traces are asked for, but the packages that send them are missing."""


def traces_endpoint(environ: Mapping[str, str]) -> str | None:
    """Find the URL of the OTLP/HTTP receiver; None where no traces are asked for.

    Source: OpenTelemetry's specification of the SDK's environment variables, but for its default:
    traces are off unless a variable names the exporter or its endpoint.
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").replace(" ", "").split(",")
    if exporters != [""] and "otlp" not in exporters:
        return None
    if environ.get(_TRACES_ENDPOINT):
        return environ[_TRACES_ENDPOINT]
    if environ.get(_ENDPOINT):
        return f"{environ[_ENDPOINT].rstrip('/')}/v1/traces"
    return "http://localhost:4318/v1/traces" if "otlp" in exporters else None


def service_name(environ: Mapping[str, str], default: str) -> str:
    """Name a process in its spans."""
    return environ.get(_SERVICE) or default


def make_provider(environ: Mapping[str, str], default_name: str) -> TracerProvider | None:
    """Make a provider of spans, which sends them from a thread of its own.

    None where no traces are asked for; TracingNotInstalledError where OpenTelemetry's packages are
    missing. ``default_name`` is the service's where the environment has none.
    """
    endpoint = traces_endpoint(environ)
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingNotInstalledError(
            f"traces are to go to {endpoint}, but {error.name} is not installed: "
            "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http "
            "opentelemetry-instrumentation-asgi, or unset the variables OTEL_*"
        ) from error
    resource = Resource.create({SERVICE_NAME: service_name(environ, default_name)})
    # The process that owns the provider shuts it down itself.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    return provider


def close_provider(provider: TracerProvider) -> None:
    """Send the spans that are left, unless that takes too long."""
    sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
    sending.start()
    sending.join(_LAST_SPANS_SECONDS)
