"""Runs Triton and the REST service in front of it, in the foreground."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import replace

from tritonpose.config import PipelineConfig
from tritonpose_server.embedded import EmbeddedServer, ServerOptions
from tritonpose_server.errors import ServerError
from tritonpose_server.gpus import require_gpus
from tritonpose_server.leaves.cores import available_cores
from tritonpose_server.model_choice import choose_models
from tritonpose_server.ports import bind
from tritonpose_server.tuning.defaults import complete_pipeline
from tritonpose_service.rest.run import run_rest
from tritonpose_service.rest.settings import RestSettings

LOGGER = logging.getLogger("tritonpose.server")


def serve(pipeline: str | os.PathLike[str], triton: ServerOptions, rest: RestSettings) -> None:
    """Serve a pipeline until SIGINT or SIGTERM.

    Args:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        triton: Where and how Triton runs.
        rest: How the REST service runs; its `triton_url` and `visualize` are filled in, and
            `max_in_flight` from the tuning unless it says otherwise itself. Its `urls` hold for
            Triton's model of the same contract, too.

    Raises:
        ConfigError: The pipeline's configuration is wrong, or the REST service's certificate
            can't be used.
        ConversionError: A model can't be converted.
        FetchError: The models can't be fetched.
        ServerError: Triton or the REST service can't be started, or Triton was ended.
    """
    config = PipelineConfig.load(pipeline)
    # Before models are fetched and converted, which may take minutes.
    rest.check_certificate()
    bind(rest.host, rest.port).close()
    if triton.device is not None:
        require_gpus(triton.device.gpus)
    choice = choose_models(config, LOGGER.info)
    limits = complete_pipeline(triton.tuning.pipeline, available_cores())
    # Until the REST service hears signals itself, SIGTERM stops the server as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = replace(choice.settings, urls=rest.urls)
        with EmbeddedServer(choice.leaves, settings, triton) as server:
            for what, where in (
                ("web page", f"{rest.address}/"),
                ("REST", f"{rest.address}/human-keypoint-detection"),
                ("REST's description", f"{rest.address}/docs"),
                ("Triton's gRPC", server.grpc_url),
                ("Triton's HTTP", server.http_url),
                ("Triton's metrics", server.metrics_url),
            ):
                LOGGER.info("%-18s %s", what, where)
            rest = replace(rest, triton_url=server.grpc_url, visualize=settings.visualize)
            if limits.max_in_flight and rest.max_in_flight == RestSettings.max_in_flight:
                rest = replace(rest, max_in_flight=limits.max_in_flight)
            run_rest(rest, ended=lambda: server.poll() is not None)
            status = server.poll()
    except KeyboardInterrupt:
        return
    if status is not None:
        raise ServerError(f"Triton has ended with status {status}; its log is above")
