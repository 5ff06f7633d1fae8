"""Starts, watches and stops an embedded Triton server."""

from __future__ import annotations

import logging
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.device import require_gpus
from tritonpose_server.embedded.launch import hold_ports, launch
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.triton_command import CONTROL_HEADER, GRPC_HEADER, Ports
from tritonpose_server.errors import EmbeddedServerError, PortInUseError
from tritonpose_server.ports import url_host
from tritonpose_server.supervision.processes import kill_processes_of
from tritonpose_server.supervision.triton_api import TritonApi
from tritonpose_server.supervision.triton_log import LogForwarder

LOGGER = logging.getLogger("tritonpose.server")

_PORT_ATTEMPTS = 5
_PORT_TAKEN = re.compile(r"failed to start \w+ service: .*already in use")

_POLL_SECONDS = 0.05


class EmbeddedServer:
    """A real tritonserver as a child of this process.

    A context manager: entering it starts the server and waits until all models are ready,
    leaving it stops the server. If this process dies, the server ends too, and leaves neither
    processes nor shared memory nor files behind.

    Args:
        models: Directories of the models to serve, each named like its model.
        settings: The pipeline's settings.
        options: Where and how it runs.

    Attributes:
        server_id: Name of this server, unique on the machine; its shared-memory regions begin
            with it. Empty before the first start.

    Example:
        with EmbeddedServer(models, PipelineSettings("det", "kpt")) as server:
            print(server.grpc_url)
    """

    def __init__(
        self,
        models: Sequence[Path],
        settings: PipelineSettings,
        options: ServerOptions | None = None,
    ) -> None:
        self._models = models
        self._settings = settings
        self._options = options or ServerOptions()
        self.server_id = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log: LogForwarder | None = None
        self._ports: Ports | None = None
        # They hold the ports, also while the guardian is restarted.
        self._held: list[socket.socket] = []

    @property
    def ports(self) -> Ports:
        """The ports in use.

        Raises:
            EmbeddedServerError: The server has not been started.
        """
        if self._ports is None:
            raise EmbeddedServerError("the server has not been started")
        return self._ports

    @property
    def grpc_url(self) -> str:
        """Address for gRPC clients."""
        return f"grpc://{url_host(self._options.address)}:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        """Address for HTTP clients."""
        return f"http://{url_host(self._options.address)}:{self.ports.http}"

    @property
    def metrics_url(self) -> str:
        """Address of Triton's metrics."""
        return f"http://{url_host(self._options.metrics_host)}:{self.ports.metrics}/metrics"

    @property
    def control_headers(self) -> dict[str, str]:
        """Headers that open Triton's control endpoints, over either protocol.

        Raises:
            EmbeddedServerError: The options name no key; then nothing opens them.
        """
        if self._options.control_key is None:
            raise EmbeddedServerError(
                "Triton's control endpoints are closed: ServerOptions(control_key=...) opens them"
            )
        return dict.fromkeys((CONTROL_HEADER, GRPC_HEADER), self._options.control_key)

    @property
    def pid(self) -> int | None:
        """Process that owns the server's whole process tree, None when it does not run."""
        return self._process.pid if self._process else None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until all models are ready.

        Raises:
            TritonNotInstalledError: tritonserver or libpython is missing.
            PortInUseError: A port that the options name is taken.
            EmbeddedServerError: The device can't be used, a model can't be loaded, or the server is
                not ready in time.
        """
        if self._process is not None:
            raise EmbeddedServerError("the server is already running")
        if self._options.device is not None:
            require_gpus(self._options.device.gpus)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._ports, self._held = hold_ports(self._options)
            try:
                self._launch()
                self._wait_until_ready()
            except PortInUseError:
                # Another program took a port that was free a moment ago.
                if attempt == _PORT_ATTEMPTS:
                    raise
                continue
            except BaseException:
                self.stop()
                raise
            LOGGER.info("server ready at %s and %s", self.grpc_url, self.http_url)
            return

    def restart(self) -> None:
        """Restart the server, at the same ports, after its owning process has died.

        Does not wait until it is ready.

        Raises:
            EmbeddedServerError: It was never started.
        """
        if not self.server_id:
            raise EmbeddedServerError("the server has not been started")
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        kill_processes_of(self.server_id)
        if self._log:
            self._log.close()
        self._launch()

    def stop(self, force: Callable[[], bool] = lambda: False) -> None:
        """Stop the server and wait until all its processes have ended.

        Args:
            force: Polled while waiting; once true, requests in flight are abandoned.
        """
        process, self._process = self._process, None
        self._release_ports()
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        forced = False
        while process.poll() is None:
            if force() and not forced:
                forced = True
                process.send_signal(signal.SIGTERM)
            time.sleep(_POLL_SECONDS)
        if self._log:
            self._log.close()
        LOGGER.info("server stopped")

    def poll(self) -> int | None:
        """Return the exit status of a server that has ended by itself, None while it runs."""
        return self._running().poll()

    def _release_ports(self) -> None:
        for holder in self._held:
            holder.close()
        self._held = []

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedServerError("the server is not running")
        return self._process

    def _launch(self) -> None:
        self.server_id, self._process = launch(
            self._models, self._settings, self._options, self.ports, self._held
        )
        if self._process.stdout is None:
            raise EmbeddedServerError("the server's output can't be read")
        self._log = LogForwarder(self._process.stdout)

    def _wait_until_ready(self) -> None:
        address = f"{self._options.local_host}:{self.ports.http}"
        triton = TritonApi(address)
        deadline = time.monotonic() + self._options.start_timeout
        while time.monotonic() < deadline:
            if self._running().poll() is not None:
                self.stop()
                raise start_error(self._log.tail() if self._log else "")
            # Another server may have taken the port.
            if triton.name() == self.server_id and triton.is_ready():
                return
            time.sleep(_POLL_SECONDS)
        raise EmbeddedServerError(
            f"the server was not ready after {self._options.start_timeout:g} s; the end of its "
            f"log:\n{self._log.tail() if self._log else ''}"
        )


def start_error(log: str) -> EmbeddedServerError:
    """Make the error for a server that ended while starting, from the end of its log."""
    if _PORT_TAKEN.search(log):
        return PortInUseError(f"a port of the server is taken:\n{log}")
    return EmbeddedServerError(f"the server ended while starting:\n{log}")
