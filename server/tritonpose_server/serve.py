"""Runs Triton and the REST service in front of it, in the foreground."""

from __future__ import annotations

import logging
import os
import signal

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


def serve(pipeline: str | os.PathLike[str], triton: ServerOptions, *, host: str, port: int) -> None:
    """Serve a pipeline until SIGINT or SIGTERM.

    Args:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        triton: Where and how Triton runs.
        host: Address of the REST service.
        port: Port of the REST service.

    Raises:
        ConfigError: The pipeline's configuration is wrong.
        ConversionError: A model can't be converted.
        FetchError: The models can't be fetched.
        ServerError: Triton or the REST service can't be started, or Triton was ended.
    """
    config = PipelineConfig.load(pipeline)
    # Before models are fetched and converted, which may take minutes.
    bind(host, port).close()
    if triton.device is not None:
        require_gpus(triton.device.gpus)
    choice = choose_models(config, LOGGER.info)
    limits = complete_pipeline(triton.tuning.pipeline, available_cores())
    # Until the REST service hears signals itself, SIGTERM stops the server as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with EmbeddedServer(choice.leaves, choice.settings, triton) as server:
            address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            for what, where in (
                ("web page", f"{address}/"),
                ("REST", f"{address}/human-keypoint-detection"),
                ("REST's description", f"{address}/docs"),
                ("Triton's gRPC", server.grpc_url),
                ("Triton's HTTP", server.http_url),
                ("Triton's metrics", server.metrics_url),
            ):
                LOGGER.info("%-18s %s", what, where)
            rest = RestSettings(
                triton_url=server.grpc_url,
                host=host,
                port=port,
                visualize=choice.settings.visualize,
                max_in_flight=limits.max_in_flight or RestSettings.max_in_flight,
            )
            run_rest(rest, ended=lambda: server.poll() is not None)
            status = server.poll()
    except KeyboardInterrupt:
        return
    if status is not None:
        raise ServerError(f"Triton has ended with status {status}; its log is above")
