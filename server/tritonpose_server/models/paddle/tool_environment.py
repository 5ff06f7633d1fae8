"""Python environments of tools whose packages can't be in tritonpose's own environment.

PaddlePaddle is large, and paddle2onnx needs an old onnx. Each environment is a virtual environment
in the cache, made the first time it is needed and named by what it was made from, so that other
pins give another one.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from tritonpose_server.models.directories import locked_directory, replaced_directory
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.home import cache_home, writable_directory
from tritonpose_server.models.programs import Outcome, run_tool
from tritonpose_server.models.store import Progress
from tritonpose_server.python_programs import isolated_python

_IMPORT_TIMEOUT_S = 120.0

_SHOWN = re.compile(r"\s*(Downloading .* MB\)|Installing collected packages)")
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Max retries exceeded|ProxyError|TimeoutError"
    r"|Temporary failure in name resolution|Network is unreachable|Connection refused"
)


@dataclass(frozen=True)
class ToolEnvironment:
    """A Python environment that a tool runs in.

    ``name`` gets a digest of what it is made of added. ``imports`` must be importable in it;
    ``libraries`` are Debian packages that these need and a minimal machine lacks. ``purpose``,
    ``size``, ``pythons`` and ``without_network`` are for messages. Installing may take long: it may
    be hundreds of megabytes over a slow line.
    """

    name: str
    purpose: str
    requirements: Path
    imports: tuple[str, ...]
    libraries: tuple[str, ...]
    size: str
    pythons: str
    without_network: str
    pip: tuple[str, ...] = (*isolated_python(), "-m", "pip")
    bytes_needed: int = 0
    install_timeout_s: float = 1800.0

    def find(self) -> Path | None:
        """Return its Python, None where it was not made yet."""
        python = _python(self._directory())
        # Dangling where the Python that it was made with is gone.
        return python if python.exists() else None

    def ensure(self, progress: Progress) -> Path:
        """Make it unless it is there, and return its Python; a `ConversionError` says what to do.

        Of several processes that want it, one makes it and the others wait.
        """
        found = self.find()
        if found is not None:
            return found
        directory = self._directory()
        progress(f"making {self.purpose} (once; {self.size} in {directory.parent})")
        try:
            writable_directory(directory.parent, self.bytes_needed)
            with locked_directory(directory.parent, progress):
                found = self.find()
                if found is not None:
                    return found
                for abandoned in directory.parent.glob(f".{directory.name}-*"):
                    shutil.rmtree(abandoned, ignore_errors=True)
                with replaced_directory(directory) as staging:
                    self._make(staging, progress)
        except OSError as error:
            raise ConversionError(
                f"{self.purpose} can't be made in {directory.parent}: {error}"
            ) from error
        return _python(directory)

    @property
    def pins(self) -> str:
        """The versions of what is installed in it, one package a line."""
        lines = self.requirements.read_text("utf-8").splitlines()
        return "\n".join(line for line in lines if line and not line.startswith("#"))

    def _directory(self) -> Path:
        made_with = f"{sys.version_info[:2]} {platform.machine()}"
        digest = hashlib.sha256(f"{made_with}\n{self.pins}".encode()).hexdigest()
        return cache_home() / "environments" / f"{self.name}-{digest[:12]}"

    def _make(self, staging: Path, progress: Progress) -> None:
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
                *self.pip,
                f"--python={python}",
                "install",
                "--disable-pip-version-check",
                "--no-input",
                "--progress-bar=off",
                "--only-binary=:all:",
                f"--requirement={self.requirements}",
            ],
            timeout_s=self.install_timeout_s,
            on_line=show,
        )
        if installed.status != 0:
            raise ConversionError(self._explain(installed, staging.parent))
        tried = run_tool(
            "Python",
            [str(python), "-I", "-c", f"import {', '.join(self.imports)}"],
            timeout_s=_IMPORT_TIMEOUT_S,
        )
        if tried.status != 0:
            raise ConversionError(
                f"{self.purpose} was installed but does not start; a system library may be missing "
                f"(Debian, Ubuntu: `apt-get install {' '.join(self.libraries)}`). "
                f"{tried.last_lines()}"
            )

    def _explain(self, outcome: Outcome, place: Path) -> str:
        failed = f"{self.purpose} can't be made: "
        output = outcome.output
        if "No module named pip" in output:
            reason = f"this Python has no pip; run `{sys.executable} -m ensurepip`."
        elif "No space left on device" in output:
            reason = (
                f"the disk is full ({self.size}). Room is needed in {place} and, 300 MB, in the "
                "directory for temporary files; TRITONPOSE_HOME and TMPDIR name other places."
            )
        elif _NO_NETWORK.search(output):
            reason = (
                "pip can't reach its package index. Check the network and pip's configuration "
                f"(pip config list), or {self.without_network}."
            )
        elif "No matching distribution found" in output:
            reason = (
                f"its packages exist for {self.pythons}; this is Python "
                f"{platform.python_version()} on {platform.system()} {platform.machine()}."
            )
        else:
            reason = f"pip failed with status {outcome.status}."
        return f"{failed}{reason} {outcome.last_lines()}"


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"


PADDLE_ENVIRONMENT = ToolEnvironment(
    name="paddle2onnx",
    purpose="the environment for Paddle models",
    requirements=Path(__file__).with_name("requirements.txt"),
    imports=("paddle", "paddle2onnx"),
    libraries=("libgomp1",),
    size="it downloads 240 MB and takes 1 GB",
    bytes_needed=1 << 30,
    pythons="Python 3.10 to 3.12 on Linux x86_64",
    without_network="convert on a machine that has one and copy the model",
)
