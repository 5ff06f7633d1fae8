"""Runs Triton and the REST service in front of it, in the foreground."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import replace

from tritonpose.cli.console import LogOptions
from tritonpose.config import PipelineConfig
from tritonpose_server.embedded.gpus import require_gpus
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.staging import HpsOptions
from tritonpose_server.embedded.tuning.defaults import complete_pipeline
from tritonpose_server.engines.cores import available_cores
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.choice import choose_models
from tritonpose_server.ports import bind, is_loopback
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.supervision.rest_process import RestProcess
from tritonpose_server.supervision.supervisor import StopSignals, supervise

LOGGER = logging.getLogger("tritonpose.server")


def serve(
    pipeline: str | os.PathLike[str],
    triton: ServerOptions,
    rest: RestSettings,
    log: LogOptions,
) -> None:
    """Serve a pipeline until SIGINT or SIGTERM.

    Args:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        triton: Where and how Triton runs.
        rest: How the REST service runs; its `triton_url`, `visualize` and `page_threshold` are
            filled in, and `max_in_flight` from the tuning unless it says otherwise itself. Its
            `urls` hold for Triton's model of the same contract, too.
        log: How the REST service logs.

    Raises:
        ConfigError: The pipeline's configuration is wrong, or the REST service's certificate
            can't be used.
        ConversionError: A model can't be converted.
        FetchError: The models can't be fetched.
        EmbeddedServerError: Triton or the REST service can't be started, or Triton was ended.
    """
    config = PipelineConfig.load(pipeline)
    rest.check_certificate()
    # Until both services run, SIGTERM stops everything as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Bound before models are fetched and converted, which may take minutes; and held until
        # the end, so that the address outlives every process that serves at it.
        with bind(rest.host, rest.port) as listener:
            if triton.device is not None:
                require_gpus(triton.device.gpus)
            choice = choose_models(config, LOGGER.info)
            limits = complete_pipeline(triton.tuning.pipeline, available_cores())
            tell_exposure(rest.host, triton.address)
            triton = replace(triton, hps=HpsOptions(choice.visualize, rest.urls))
            with EmbeddedServer(choice.models, choice.settings, triton) as server:
                _tell_addresses(server, rest.address)
                rest = replace(
                    rest,
                    triton_url=server.grpc_url,
                    visualize=choice.visualize,
                    page_threshold=choice.threshold,
                )
                if limits.max_in_flight and rest.max_in_flight is None:
                    rest = replace(rest, max_in_flight=limits.max_in_flight)
                status = _run(server, RestProcess(listener, rest, log))
    except KeyboardInterrupt:
        return
    if status is not None:
        raise EmbeddedServerError(f"Triton has ended with status {status}; its log is above")


def _run(server: EmbeddedServer, rest: RestProcess) -> int | None:
    """Serve until told to stop; return Triton's exit status where that has ended by itself."""
    with StopSignals() as signals:
        try:
            return supervise(server, rest, signals)
        finally:
            # The service first: its requests under way need Triton.
            rest.stop(lambda: signals.insisted)
            server.stop(lambda: signals.insisted)


def _tell_addresses(server: EmbeddedServer, address: str) -> None:
    for what, where in (
        ("web page", f"{address}/"),
        ("REST", f"{address}/human-keypoint-detection"),
        ("REST's description", f"{address}/docs"),
        ("Triton's gRPC", server.grpc_url),
        ("Triton's HTTP", server.http_url),
        ("Triton's metrics", server.metrics_url),
    ):
        LOGGER.info("%-18s %s", what, where)


def tell_exposure(host: str, triton_host: str) -> None:
    """Tell in the log what other machines can reach.

    Args:
        host: Address of the REST service.
        triton_host: Address of Triton's own ports.
    """
    if not is_loopback(triton_host):
        LOGGER.warning(
            "Triton's own ports are open to other machines (--triton_host %s). They have no "
            "authentication, and one large request can crash this Triton: let only trusted "
            "clients reach them",
            triton_host,
        )
    elif not is_loopback(host):
        LOGGER.info(
            "--host %s opens the REST service only; Triton's own ports, which are for trusted "
            "clients, stay at %s",
            host,
            triton_host,
        )
