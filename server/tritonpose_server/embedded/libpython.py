"""Finds the shared library of the running Python, which Triton's Python backend links to."""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from pathlib import Path

from tritonpose_server.errors import TritonNotInstalledError


def find_libpython_directory() -> Path | None:
    """Find the directory of ``libpython3.X.so.1.0``.

    Returns:
        The directory, or None where the dynamic loader finds the library by itself.

    Raises:
        TritonNotInstalledError: The library is not on this machine. Debian and Ubuntu keep it
            in a package of its own.
    """
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    own = sysconfig.get_config_var("LIBDIR")
    # Set-up without root puts the library into the virtual environment.
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
