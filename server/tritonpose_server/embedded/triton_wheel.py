"""Finds the real tritonserver that the ``nvidia-pytriton`` wheel carries."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from tritonpose.extras import install_command
from tritonpose_server.errors import TritonNotInstalledError

_WHEEL = "nvidia-pytriton"


@dataclass(frozen=True)
class TritonInstallation:
    """The parts of a tritonserver.

    Attributes:
        binary: The ``tritonserver`` program.
        libraries: Directory of the shared libraries it needs.
        python_backend: Directory of Triton's Python backend.
        python_stub: The backend's interpreter process for the running Python version.
    """

    binary: Path
    libraries: Path
    python_backend: Path
    python_stub: Path


def find_triton() -> TritonInstallation:
    """Find tritonserver in the running Python environment.

    Raises:
        TritonNotInstalledError: The wheel is missing, or has no build for this machine or this
            Python version.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise TritonNotInstalledError(
            f"the embedded server runs on Linux x86-64, this is {sys.platform} "
            f"{platform.machine()}: use a server on another machine or the container"
        )
    try:
        distribution = importlib.metadata.distribution(_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        raise TritonNotInstalledError(
            f"the package {_WHEEL} is not installed: {install_command('server')}"
        ) from None
    site = Path(str(distribution.locate_file("")))
    root = site / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    installation = TritonInstallation(
        binary=root / "bin" / "tritonserver",
        libraries=site / "nvidia_pytriton.libs",
        python_backend=root / "backends" / "python",
        python_stub=root / "python_backend_stubs" / version / "triton_python_backend_stub",
    )
    if not installation.python_stub.exists():
        raise TritonNotInstalledError(
            f"{_WHEEL} {distribution.version} has no Python backend for Python {version}"
        )
    if not installation.binary.exists():
        raise TritonNotInstalledError(
            f"{_WHEEL} {distribution.version} lacks {installation.binary}: reinstall it"
        )
    return installation
