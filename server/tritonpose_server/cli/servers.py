"""Run embedded servers for commands: until interrupted, or while a pipeline needs one."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from tritonpose.cli.logs import LogOptions
from tritonpose.config import PipelineConfig
from tritonpose_server.embedded.device import Device, require_gpus
from tritonpose_server.embedded.installation import find_triton
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.staging import HpsOptions
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.choice import choose_models
from tritonpose_server.models.home import compiled_directory
from tritonpose_server.ports import bind, is_loopback
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.supervision.rest_process import RestProcess
from tritonpose_server.supervision.supervisor import StopSignals, supervise

LOGGER = logging.getLogger("tritonpose.server")

TRITON_HOLES = ("CVE-2025-23310", "CVE-2025-23311", "CVE-2025-23319", "CVE-2025-23320")
"""Of the embedded Triton, the worst: its HTTP front end, and the Python backend's shared memory."""


def embedded_server(
    config: PipelineConfig,
    device: str | None,
    report: Callable[[str], None],
    *,
    strict_models: bool = False,
) -> EmbeddedServer:
    """Prepare a server of a pipeline, not started: choose, fetch and convert its models.

    The device is as PaddleX writes it, None for the CPU; ``report`` gets lines for the user; with
    ``strict_models`` it is an error that an open model would stand in. Raises ConfigError if the
    device is wrong, EmbeddedServerError if it can't be used, FetchError or ConversionError for the
    models.
    """
    place = None if device is None else Device.parse(device)
    if place is not None:
        # Before models are fetched and converted, which may take minutes.
        require_gpus(place.gpus)
    find_triton()
    choice = choose_models(config, report, strict=strict_models)
    return EmbeddedServer(
        choice.models, choice.settings, ServerOptions(device=place, compiled=compiled_directory())
    )


def serve(
    config: PipelineConfig,
    triton: ServerOptions,
    rest: RestSettings,
    log: LogOptions,
    *,
    strict_models: bool = False,
) -> None:
    """Serve a pipeline with Triton and the REST service until SIGINT or SIGTERM.

    What only the running server knows is filled in to ``rest``; its `urls` hold for Triton's model
    of the same contract, too. With ``strict_models`` it is an error that an open model would stand
    in. Raises ConfigError if the REST service's certificate can't be used, FetchError or
    ConversionError for the models, EmbeddedServerError if Triton or the REST service can't be
    started, or Triton was ended.
    """
    rest.check_certificate()
    # Until both services run, SIGTERM stops everything as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Bound before models are fetched and converted, which may take minutes; and held until
        # the end, so that the address outlives every process that serves at it.
        with bind(rest.host, rest.port) as listener, ExitStack() as started:
            if triton.device is not None:
                require_gpus(triton.device.gpus)
            find_triton()
            rest_process = RestProcess(listener, rest, log)
            started.callback(rest_process.stop, lambda: True)
            rest_process.prepare()
            choice = choose_models(config, LOGGER.info, strict=strict_models)
            warn_exposed_ports(rest.host, triton.address)
            warn_of_control_key(triton)
            triton = replace(
                triton, compiled=compiled_directory(), hps=HpsOptions(choice.visualize, rest.urls)
            )
            with EmbeddedServer(choice.models, choice.settings, triton) as server:
                _log_addresses(server, rest.address)
                rest_process.settings = replace(
                    rest,
                    triton_url=server.grpc_url,
                    page_threshold=choice.threshold,
                    stand_ins=choice.stand_ins,
                )
                status = _run(server, rest_process)
    except KeyboardInterrupt:
        return
    if status is not None:
        raise EmbeddedServerError(f"Triton has ended with status {status}; its log is above")


def _run(server: EmbeddedServer, rest: RestProcess) -> int | None:
    """Serve until a signal; return Triton's exit status if it ended by itself."""
    with StopSignals() as signals:
        try:
            return supervise(server, rest, signals)
        finally:
            # The service first: its requests in flight need Triton.
            rest.stop(lambda: signals.repeated)
            server.stop(lambda: signals.repeated)


def _log_addresses(server: EmbeddedServer, address: str) -> None:
    for what, where in (
        ("web page", f"{address}/"),
        ("REST", f"{address}/human-keypoint-detection"),
        ("REST's description", f"{address}/docs"),
        ("Triton's gRPC", server.grpc_url),
        ("Triton's HTTP", server.http_url),
        ("Triton's metrics", server.metrics_url),
    ):
        LOGGER.info("%-18s %s", what, where)


def warn_of_control_key(triton: ServerOptions) -> None:
    """Log what a key to Triton's control endpoints means, where the operator names one."""
    if triton.control_key is not None:
        LOGGER.warning(
            "$TRITONPOSE_CONTROL_KEY opens Triton's control endpoints, which load models and so "
            "run code as this user. Every user of this machine can read the key from Triton's "
            "command line: set none where there are users that you do not trust"
        )


def warn_exposed_ports(host: str, triton_host: str) -> None:
    """Log what other machines can reach, by the addresses of the service and Triton's ports."""
    if not is_loopback(triton_host):
        LOGGER.warning(
            "Triton's own ports are open to other machines (--triton_host %s). They have no "
            "authentication, and this Triton, 2.51, has known holes (%s and others) by which a "
            "client can crash it or run code: let only trusted clients reach them, or use the "
            "container of a newer Triton",
            triton_host,
            ", ".join(TRITON_HOLES),
        )
    elif not is_loopback(host):
        LOGGER.info(
            "--host %s opens the REST service only; Triton's own ports, which are for trusted "
            "clients, stay at %s",
            host,
            triton_host,
        )
