"""The command line and the environment of tritonserver."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tritonpose_server.embedded.options import Ports, ServerOptions
from tritonpose_server.embedded.staging import HPS, PIPELINE, model_repositories
from tritonpose_server.embedded.trace_arguments import trace_arguments
from tritonpose_server.embedded.triton_wheel import TritonInstallation
from tritonpose_server.supervision.triton_api import CONTROL_APIS, CONTROL_HEADER

# Of each model's shared-memory region, taken at once. Regions grow on demand, but stop their
# users for that; this holds what a dozen requests at a time need.
_SHM_BYTES = 8 * 1024 * 1024

# Of each model in Python; each of its calls of other models takes one, and its answers do, too.
# More than the 128 requests that HPS may have at the pipeline, so that those refused there are
# answered at once; Triton's default is 32.
_BACKEND_THREADS = 160


def triton_command(
    triton: TritonInstallation,
    identity: str,
    directory: Path,
    composing_models: Sequence[Path],
    options: ServerOptions,
    ports: Ports,
    control_key: str,
) -> list[str]:
    """The command line that serves what was staged.

    Args:
        triton: Where tritonserver is.
        identity: Name of the server; its shared-memory regions begin with it.
        directory: Where backends and pipeline were staged.
        composing_models: Directories of the models.
        options: Where and how it runs.
        ports: The ports chosen.
        control_key: What opens the control endpoints.
    """
    repositories = [directory / "models", *model_repositories(composing_models)]
    apis = ",".join(CONTROL_APIS)
    models = [PIPELINE, HPS, *(model.name for model in composing_models)]
    return [
        str(triton.binary),
        f"--id={identity}",
        *(f"--model-repository={repository}" for repository in repositories),
        # Models can be loaded and unloaded while the server runs.
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        f"--backend-directory={directory / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={identity}",
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
        # Other users of this machine can read this key, but nobody from outside.
        f"--http-restricted-api={apis}:{CONTROL_HEADER}={control_key}",
        f"--grpc-restricted-protocol={apis}:{CONTROL_HEADER}={control_key}",
    ]


def triton_environment(triton: TritonInstallation, libpython: Path | None) -> dict[str, str]:
    """Environment in which tritonserver and its Python processes find what they need."""
    environment = dict(os.environ)
    libraries = [str(triton.libraries), environment.get("LD_LIBRARY_PATH", "")]
    if libpython is not None:
        libraries.insert(0, str(libpython))
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    # The backend's Python looks for its own prefix through PATH: it is to be this environment.
    program = Path(sys.executable).parent
    environment["PATH"] = os.pathsep.join([str(program), environment.get("PATH", os.defpath)])
    environment["PYTHONUNBUFFERED"] = "1"
    return environment
