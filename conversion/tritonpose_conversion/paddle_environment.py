"""The Python environment in which Paddle runs, apart from tritonpose's own.

PaddlePaddle is large, and paddle2onnx needs an old onnx: both live in a virtual environment in the
cache, which is made the first time a Paddle model is converted.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from tritonpose_conversion.directory_lock import exclusive
from tritonpose_conversion.errors import ConversionError
from tritonpose_conversion.store import cache_home, replaced_directory
from tritonpose_conversion.tool_process import Outcome, run_tool

Progress = Callable[[str], None]

_REQUIREMENTS = Path(__file__).with_name("paddle_requirements.txt")
_PIP = (sys.executable, "-m", "pip")

# 240 MB over a slow line.
_INSTALL_TIMEOUT_S = 1800.0
_IMPORT_TIMEOUT_S = 120.0

_SHOWN = re.compile(r"\s*(Downloading .* MB\)|Installing collected packages)")
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Max retries exceeded|ProxyError|TimeoutError"
    r"|Temporary failure in name resolution|Network is unreachable|Connection refused"
)


def find_environment() -> Path | None:
    """The environment's Python, None where it was not made yet."""
    python = _python(_directory())
    # Dangling where the Python that it was made with is gone.
    return python if python.exists() else None


def ensure_environment(progress: Progress) -> Path:
    """Make the environment unless it is there.

    Of several processes that want it, one makes it and the others wait.

    Args:
        progress: Called with lines for the user.

    Returns:
        The environment's Python.

    Raises:
        ConversionError: It can't be made; the message says what to do.
    """
    found = find_environment()
    if found is not None:
        return found
    directory = _directory()
    progress(
        "making the environment for Paddle models (once; it downloads 240 MB and takes 1 GB in "
        f"{directory.parent})"
    )
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(directory.parent):
            found = find_environment()
            if found is not None:
                return found
            for abandoned in directory.parent.glob(f".{directory.name}-*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            with replaced_directory(directory) as staging:
                _make(staging, progress)
    except OSError as error:
        raise ConversionError(
            f"the environment for Paddle models can't be made in {directory.parent}: {error}"
        ) from error
    return _python(directory)


def _directory() -> Path:
    pins = _REQUIREMENTS.read_text("utf-8")
    made_with = f"{sys.version_info[:2]} {platform.machine()}"
    digest = hashlib.sha256(f"{made_with}\n{pins}".encode()).hexdigest()
    return cache_home() / "environments" / f"paddle2onnx-{digest[:12]}"


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"


def _make(staging: Path, progress: Progress) -> None:
    """Install everything and try it, so that only what works takes its final place."""
    # This process's pip installs into it: a pip of its own would be one more thing to keep.
    venv.EnvBuilder(symlinks=True).create(staging)
    python = _python(staging)

    def show(line: str) -> None:
        if (shown := _SHOWN.match(line)) is not None:
            progress(f"  {shown[1]}")

    installed = run_tool(
        "pip",
        [
            *_PIP,
            f"--python={python}",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar=off",
            "--only-binary=:all:",
            f"--requirement={_REQUIREMENTS}",
        ],
        timeout_s=_INSTALL_TIMEOUT_S,
        on_line=show,
    )
    if installed.status != 0:
        raise ConversionError(_explain(installed, staging.parent))
    tried = run_tool(
        "Python",
        [str(python), "-I", "-c", "import paddle, paddle2onnx"],
        timeout_s=_IMPORT_TIMEOUT_S,
    )
    if tried.status != 0:
        raise ConversionError(
            "Paddle was installed but does not start; a system library may be missing (Debian, "
            "Ubuntu: `apt-get install libgomp1`). "
            f"{tried.last_lines()}"
        )


def _explain(outcome: Outcome, place: Path) -> str:
    failed = "the environment for Paddle models can't be made: "
    output = outcome.output
    if "No module named pip" in output:
        reason = f"this Python has no pip; run `{sys.executable} -m ensurepip`."
    elif "No space left on device" in output:
        reason = (
            f"the disk is full. It needs 1 GB in {place} and 300 MB in the directory for temporary "
            "files; TRITONPOSE_HOME and TMPDIR name other places."
        )
    elif _NO_NETWORK.search(output):
        reason = (
            "pip can't reach its package index. Check the network and pip's configuration "
            "(pip config list), or convert on a machine that has one and copy the leaf."
        )
    elif "No matching distribution found" in output:
        reason = (
            "its packages exist for Python 3.10 to 3.12 on Linux x86_64; this is Python "
            f"{platform.python_version()} on {platform.system()} {platform.machine()}."
        )
    else:
        reason = f"pip failed with status {outcome.status}."
    return f"{failed}{reason} {outcome.last_lines()}"
