"""Starts the processes of an embedded server: its files, its command line, its guardian."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.installation import (
    TritonInstallation,
    find_libpython_directory,
    find_triton,
    triton_environment,
)
from tritonpose_server.embedded.model_configs import stage_models
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.staging import (
    HPS,
    PIPELINE,
    model_repositories,
    stage_backends,
    stage_pipeline,
)
from tritonpose_server.ports import bind
from tritonpose_server.supervision import guardian
from tritonpose_server.supervision.cleanup import make_directory, remove_abandoned
from tritonpose_server.supervision.triton_api import CONTROL_APIS, CONTROL_HEADER
from tritonpose_server.supervision.triton_watch import WatchSettings

LOGGER = logging.getLogger("tritonpose.server")

# Of each model's shared-memory region, allocated at start. Regions grow on demand, but pause their
# users for that; this is enough for a dozen requests at a time.
_SHM_BYTES = 8 * 1024 * 1024

# Of each model of the Python backend: each of its calls of other models takes a thread, and so do
# its responses. More than the 128 requests that HPS may have at the pipeline, so that those refused
# there are answered at once: with 132 or fewer they waited. Triton's default is 32, and it has one
# number for all models. Idle threads cost no processor time.
_BACKEND_THREADS = 160

_CONTEXT_HEADERS = "(?i)(traceparent|tracestate)"


@dataclass(frozen=True)
class Ports:
    """The ports that a server listens on."""

    grpc: int
    http: int
    metrics: int


def choose_ports(options: ServerOptions) -> Ports:
    """Choose the ports that the options name, or PortInUseError, and free ones for the rest."""
    wanted = (options.grpc_port, options.http_port, options.metrics_port)
    with ExitStack() as held:
        # All held at once, so that they differ.
        sockets = [held.enter_context(bind(options.address, port)) for port in wanted]
        return Ports(*(holder.getsockname()[1] for holder in sockets))


def launch(
    models: Sequence[Path],
    settings: PipelineSettings,
    options: ServerOptions,
    ports: Ports,
    control_key: str,
) -> tuple[str, subprocess.Popen[bytes]]:
    """Put a server's files together and start its guardian, which starts tritonserver.

    ``models`` are directories, each named like its model. Returns the server's id and the
    guardian's process, whose output is a pipe. Raises TritonNotInstalledError if tritonserver or
    libpython is missing, EmbeddedServerError if the models and settings don't fit together.
    """
    triton, libpython = find_triton(), find_libpython_directory()
    for abandoned in remove_abandoned():
        LOGGER.info("removed the remains of a killed server: %s", abandoned)
    server_id = f"tritonpose-{secrets.token_hex(6)}"
    directory, lock = make_directory(server_id)
    try:
        stage_backends(triton, directory / "backends")
        models = stage_models(models, options.device, options.tuning, directory / "configured")
        stage_pipeline(directory / "models", models, settings, options.pipeline, options.hps)
        command = _triton_command(triton, server_id, directory, models, options, ports, control_key)
        environment = triton_environment(triton, libpython)
        if options.restart:
            address = f"{options.local_host}:{ports.http}"
            watch = WatchSettings(address, control_key, options.hang_timeout)
            environment[guardian.WATCH_VARIABLE] = json.dumps(asdict(watch))
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-m", guardian.__name__),
                *(server_id, str(directory), str(options.stop_timeout + 5)),
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[lock],
            # Ctrl-C in a terminal reaches this process alone, which then stops the server.
            start_new_session=True,
        )
    except BaseException:
        shutil.rmtree(directory)
        raise
    finally:
        # The server's processes hold it now.
        os.close(lock)
    return server_id, process


def trace_arguments(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return tritonserver's arguments for traces, if OpenTelemetry's variables ask for traces.

    They make Triton forward the headers of a trace to the models, as parameters of a request. Its
    own tracing (``--trace-config``) crashes tritonserver 2.51 when a model calls another one after
    ``execute`` has returned.
    """
    from tritonpose_pipeline.telemetry.otel import traces_endpoint

    if traces_endpoint(environ) is None:
        return []
    return [
        f"--grpc-header-forward-pattern={_CONTEXT_HEADERS}",
        f"--http-header-forward-pattern={_CONTEXT_HEADERS}",
    ]


def _triton_command(
    triton: TritonInstallation,
    server_id: str,
    directory: Path,
    composing_models: Sequence[Path],
    options: ServerOptions,
    ports: Ports,
    control_key: str,
) -> list[str]:
    repositories = [directory / "models", *model_repositories(composing_models)]
    apis = ",".join(CONTROL_APIS)
    models = [PIPELINE, HPS, *(model.name for model in composing_models)]
    return [
        str(triton.binary),
        f"--id={server_id}",
        *(f"--model-repository={repository}" for repository in repositories),
        # Models can be loaded and unloaded while the server runs.
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        f"--backend-directory={directory / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={server_id}",
        f"--backend-config=python,shm-default-byte-size={_SHM_BYTES}",
        f"--backend-config=python,thread-pool-size={_BACKEND_THREADS}",
        "--disable-auto-complete-config",
        f"--grpc-address={options.address}",
        f"--grpc-port={ports.grpc}",
        f"--http-address={options.address}",
        f"--http-port={ports.http}",
        f"--metrics-address={options.address}",
        f"--metrics-port={ports.metrics}",
        f"--exit-timeout-secs={max(int(options.stop_timeout), 1)}",
        f"--log-verbose={options.log_verbose}",
        *trace_arguments(),
        # Other users of this machine can read this key, but no other machine can.
        f"--http-restricted-api={apis}:{CONTROL_HEADER}={control_key}",
        f"--grpc-restricted-protocol={apis}:{CONTROL_HEADER}={control_key}",
    ]
