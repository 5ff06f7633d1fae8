"""What lets traces pass through Triton."""

from __future__ import annotations

import os
from collections.abc import Mapping

_CONTEXT_HEADERS = "(?i)(traceparent|tracestate)"


def trace_arguments(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Arguments for tritonserver, where OpenTelemetry's environment variables ask for traces.

    Triton then hands the headers of a trace on to the models, as parameters of a request. Its own
    tracing (``--trace-config``) crashes tritonserver 2.51 when a model calls another one after
    ``execute`` has returned.

    Args:
        environ: Environment variables.

    Returns:
        The arguments, none where no traces are asked for.
    """
    from tritonpose_pipeline.telemetry.otel import traces_endpoint

    if traces_endpoint(environ) is None:
        return []
    return [
        f"--grpc-header-forward-pattern={_CONTEXT_HEADERS}",
        f"--http-header-forward-pattern={_CONTEXT_HEADERS}",
    ]
