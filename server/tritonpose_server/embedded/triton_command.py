"""Tritonserver's command line: what it serves, where, and what is closed to whom."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonpose.triton_http import CLIENT_HEADER, CLIENT_VALUE
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.staging import HPS, PIPELINE
from tritonpose_server.ports import url_host

CONTROL_HEADER = "tritonpose-control"
"""HTTP header of the key that opens Triton's control endpoints; for gRPC see `GRPC_HEADER`."""

GRPC_HEADER = f"triton-grpc-protocol-{CONTROL_HEADER}"
"""The same for gRPC: Triton expects this prefix."""

_CONTROL_APIS = "model-repository,shared-memory,trace,logging"
_CLIENT_APIS = "inference,metadata,model-config,statistics"

# A name and a value that no header can have: by HTTP's rules it has no line break, by those of gRPC
# a name has no capital letter. An attacker who reads them from the command line can not send them.
_NO_HEADER, _NO_KEY = "Tritonpose-Control\n", "closed\nto everybody"

# Of each model's shared-memory region, allocated at start. Regions grow on demand, but pause their
# users for that; this is enough for a dozen requests at a time.
_SHM_BYTES = 8 * 1024 * 1024

# Of each model of the Python backend: each of its calls of other models takes a thread, and so do
# its responses. More than the requests that HPS may have at the pipeline, so that those refused
# there are answered at once: with 4 more or fewer they waited. Triton's default is 32, and it has
# one number for all models of a backend. Idle threads cost no processor time.
_SPARE_THREADS = 32

_CONTEXT_HEADERS = "(?i)(traceparent|tracestate)"


@dataclass(frozen=True)
class Ports:
    """The ports that a server listens on."""

    grpc: int
    http: int
    metrics: int


def triton_command(
    binary: Path,
    server_id: str,
    directory: Path,
    repositories: Sequence[Path],
    models: Sequence[str],
    options: ServerOptions,
    ports: Ports,
) -> list[str]:
    """Make the command line of a server with its files in a directory.

    ``repositories`` and ``models`` are those of the composing models.
    """
    threads = (options.pipeline.max_in_flight or 0) + _SPARE_THREADS
    return [
        str(binary),
        f"--id={server_id}",
        *(f"--model-repository={each}" for each in (directory / "models", *repositories)),
        # Models can be loaded and unloaded while the server runs.
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in (PIPELINE, HPS, *models)),
        f"--backend-directory={directory / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={server_id}",
        f"--backend-config=python,shm-default-byte-size={_SHM_BYTES}",
        f"--backend-config=python,thread-pool-size={threads}",
        "--disable-auto-complete-config",
        f"--grpc-address={url_host(options.address)}",
        f"--grpc-port={ports.grpc}",
        f"--http-address={_http_address(options.address)}",
        f"--http-port={ports.http}",
        f"--metrics-address={_http_address(options.metrics_host)}",
        f"--metrics-port={ports.metrics}",
        # The guardian holds these ports, so that no other user can take them during a restart.
        "--reuse-grpc-port=true",
        "--reuse-http-port=true",
        # Whatever the environment says: both open a port of their own.
        "--allow-vertex-ai=false",
        "--allow-sagemaker=false",
        f"--exit-timeout-secs={max(int(options.stop_timeout), 1)}",
        *trace_arguments(),
        *_restrictions(options.control_key),
    ]


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


def _http_address(address: str) -> str:
    """Write an interface as Triton's HTTP library, evhtp, expects it."""
    return f"ipv6:{address}" if ":" in address else address


def _restrictions(control_key: str | None) -> list[str]:
    lock = (_NO_HEADER, _NO_KEY) if control_key is None else (CONTROL_HEADER, control_key)
    control = "=".join(lock)
    return [
        f"--http-restricted-api={_CONTROL_APIS}:{control}",
        f"--grpc-restricted-protocol={_CONTROL_APIS}:{control}",
        f"--http-restricted-api={_CLIENT_APIS}:{CLIENT_HEADER}={CLIENT_VALUE}",
    ]
