"""Runs an embedded server in the foreground."""

from __future__ import annotations

import logging
import os
import signal

from tritonpose.config import PipelineConfig
from tritonpose_conversion.errors import ConversionError
from tritonpose_conversion.npm_package import FetchError
from tritonpose_server.embedded import EmbeddedServer, ServerOptions
from tritonpose_server.errors import ServerError
from tritonpose_server.model_choice import choose_models

LOGGER = logging.getLogger("tritonpose.server")

# What `serve` raises for reasons that its user can mend.
ServeError = (ServerError, ConversionError, FetchError)


def serve(
    pipeline: str | os.PathLike[str],
    *,
    address: str,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
) -> int:
    """Serve a pipeline until SIGINT or SIGTERM.

    Args:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        address: Interface to listen on.
        grpc_port: gRPC port.
        http_port: HTTP port.
        metrics_port: Port of ``/metrics``.

    Returns:
        0 after a signal, 1 when the server ended by itself.

    Raises:
        ConfigError: The pipeline's configuration is wrong.
        ConversionError: A model can't be converted.
        FetchError: The open models can't be fetched.
        ServerError: The server can't be started.
    """
    choice = choose_models(PipelineConfig.load(pipeline), LOGGER.info)
    options = ServerOptions(
        address=address, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port
    )
    # SIGTERM stops the server the way Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with EmbeddedServer(choice.leaves, choice.settings, options) as server:
            status = server.wait()
    except KeyboardInterrupt:
        return 0
    LOGGER.error("the server ended by itself with status %d", status)
    return 1
