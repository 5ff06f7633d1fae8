"""Finds the tritonserver of the ``nvidia-pytriton`` wheel, and the libraries that it needs."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tritonpose.extras import install_command
from tritonpose_server.errors import TritonNotInstalledError

_WHEEL = "nvidia-pytriton"
# The last with wheels of numpy < 2.
_LAST_PYTHON = (3, 12)


@dataclass(frozen=True)
class TritonInstallation:
    """The parts of a tritonserver; ``libraries`` is the directory of the shared libraries it needs.

    The stub is the Python backend's interpreter process for the running Python version.
    """

    binary: Path
    libraries: Path
    python_backend: Path
    python_stub: Path


def find_triton() -> TritonInstallation:
    """Find tritonserver in the running Python environment.

    Raises TritonNotInstalledError if the wheel is missing or not built for this machine or Python.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise TritonNotInstalledError(
            f"the embedded server runs on Linux x86-64, this is {sys.platform} "
            f"{platform.machine()}: use a server on another machine or the container, or run "
            "without a server (--url local:)"
        )
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info[:2] > _LAST_PYTHON:
        raise TritonNotInstalledError(
            f"the embedded server runs on Python 3.10 to 3.12, this is Python {version}, for which "
            "there is no numpy that its Triton can read: make an environment with an older Python "
            "(`uv venv --python 3.12` fetches it), or use a server elsewhere (--url) or the "
            "container, or run without a server (--url local:)"
        )
    try:
        distribution = importlib.metadata.distribution(_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        raise TritonNotInstalledError(
            f"the package {_WHEEL} is not installed: {install_command('server')}"
        ) from None
    site = Path(str(distribution.locate_file("")))
    root = site / "pytriton" / "tritonserver"
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


def find_libpython_directory() -> Path | None:
    """Find the directory of ``libpython3.X.so.1.0``; None where the dynamic loader finds it itself.

    Raises TritonNotInstalledError if it is not on this machine: Debian and Ubuntu keep it in a
    package of its own.
    """
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    own = sysconfig.get_config_var("LIBDIR")
    # A setup without root rights puts the library into the virtual environment.
    for directory in (*([Path(own)] if own else []), Path(sys.prefix) / "lib"):
        if (directory / name).exists():
            return directory
    try:
        ctypes.CDLL(name)
    except OSError:
        package = name.removesuffix(".so.1.0")
        raise TritonNotInstalledError(
            f"{name} is missing, which Triton's Python backend needs: run "
            f"`apt-get install {package}` (Debian, Ubuntu), or use a Python built with "
            "--enable-shared"
        ) from None
    return None


def triton_environment(
    triton: TritonInstallation, libpython: Path | None, links: Path
) -> dict[str, str]:
    """Make an environment in which tritonserver and its Python processes find their libraries.

    Their directories are linked from ``links``, a new directory: in a list of paths, some letters
    have a meaning that they don't have in the path of an environment.
    """
    environment = dict(os.environ)
    links.mkdir()
    libraries = []
    for name, directory in (("python", libpython), ("triton", triton.libraries)):
        if directory is not None:
            (links / name).symlink_to(directory)
            libraries.append(str(links / name))
    libraries.append(environment.get("LD_LIBRARY_PATH", ""))
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    # The backend's Python finds its prefix through PATH: it must be this environment.
    program = Path(sys.executable).parent
    environment["PATH"] = os.pathsep.join([str(program), environment.get("PATH", os.defpath)])
    environment["PYTHONUNBUFFERED"] = "1"
    # Import nothing from the working directory, and read file names in UTF-8 in any locale.
    environment["PYTHONSAFEPATH"] = environment["PYTHONUTF8"] = "1"
    return environment
