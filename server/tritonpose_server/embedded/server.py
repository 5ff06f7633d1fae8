"""Starts and stops an embedded Triton server."""

from __future__ import annotations

import http.client
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.device import place_models
from tritonpose_server.embedded.gpus import require_gpus
from tritonpose_server.embedded.libpython import find_libpython_directory
from tritonpose_server.embedded.options import Ports, ServerOptions
from tritonpose_server.embedded.staging import (
    stage_backends,
    stage_pipeline,
)
from tritonpose_server.embedded.triton_command import triton_command, triton_environment
from tritonpose_server.embedded.triton_wheel import TritonInstallation, find_triton
from tritonpose_server.embedded.tuning.apply import tune_models
from tritonpose_server.embedded.tuning.defaults import complete_pipeline
from tritonpose_server.engines.cores import available_cores
from tritonpose_server.errors import EmbeddedServerError, PortInUseError
from tritonpose_server.ports import bind
from tritonpose_server.supervision import guardian
from tritonpose_server.supervision.cleanup import make_directory, remove_abandoned
from tritonpose_server.supervision.processes import kill_processes_of
from tritonpose_server.supervision.triton_api import CONTROL_HEADER, GRPC_HEADER
from tritonpose_server.supervision.triton_log import LogForwarder
from tritonpose_server.supervision.triton_watch import WatchSettings

LOGGER = logging.getLogger("tritonpose.server")

_PORT_ATTEMPTS = 5

_POLL_SECONDS = 0.05


class EmbeddedServer:
    """A real tritonserver as a child of this process.

    A context manager: entering it starts the server and waits until all models are ready,
    leaving it stops the server. Should this process die, the server ends too, and leaves
    neither processes nor shared memory nor files behind.

    Attributes:
        server_id: Name of this server, unique on the machine; its shared-memory regions begin
            with it. Empty before the first start.
        control_key: What opens Triton's control endpoints; see `control_headers`.

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
        """Prepare a server.

        Args:
            models: Directories of the models to serve, each named like its model.
            settings: The pipeline's defaults.
            options: Where and how it runs.
        """
        self._models = models
        self._settings = settings
        self._options = options or ServerOptions()
        self.server_id = ""
        self.control_key = self._options.control_key or secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: LogForwarder | None = None
        self._ports: Ports | None = None

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
        return f"grpc://{self._options.address}:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        """Address for HTTP clients."""
        return f"http://{self._options.address}:{self.ports.http}"

    @property
    def metrics_url(self) -> str:
        """Address of Triton's metrics."""
        return f"http://{self._options.address}:{self.ports.metrics}/metrics"

    @property
    def control_headers(self) -> dict[str, str]:
        """What to send to Triton's control endpoints, over either protocol."""
        return {CONTROL_HEADER: self.control_key, GRPC_HEADER: self.control_key}

    @property
    def pid(self) -> int | None:
        """Process that owns the server's whole process tree, None when it does not run."""
        return self._process.pid if self._process else None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until all models are ready.

        Raises:
            TritonNotInstalledError: tritonserver or libpython is missing.
            PortInUseError: A port asked for is taken.
            EmbeddedServerError: The device can't be used, a model can't be loaded, or the server is
                not ready in time.
        """
        if self._process is not None:
            raise EmbeddedServerError("the server is already running")
        if self._options.device is not None:
            require_gpus(self._options.device.gpus)
        triton = find_triton()
        libpython = find_libpython_directory()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._ports = self._choose_ports()
            try:
                self._launch(triton, libpython)
                self._wait_until_ready()
            except PortInUseError:
                # A port that was free a moment ago: another program took it first.
                if attempt == _PORT_ATTEMPTS:
                    raise
                continue
            except BaseException:
                self.stop()
                raise
            LOGGER.info("server ready at %s and %s", self.grpc_url, self.http_url)
            return

    def restart(self) -> None:
        """Start the server again, at the same ports, after its owning process has died.

        Does not wait until it is ready.

        Raises:
            EmbeddedServerError: It was never started.
        """
        self.ports  # noqa: B018 - raises
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        kill_processes_of(self.server_id)
        if self._log:
            self._log.close()
        remove_abandoned()
        self._launch(find_triton(), find_libpython_directory())

    def stop(self, insists: Callable[[], bool] = lambda: False) -> None:
        """Stop the server and wait until all its processes have ended.

        Args:
            insists: Asked all the time whether to end at once, whatever is under way.
        """
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        insisted = False
        while process.poll() is None:
            if insists() and not insisted:
                insisted = True
                process.send_signal(signal.SIGTERM)
            time.sleep(_POLL_SECONDS)
        if self._log:
            self._log.close()
        LOGGER.info("server stopped")

    def poll(self) -> int | None:
        """Whether the server has ended by itself.

        Returns:
            Its exit status, None while it runs.
        """
        if self._process is None:
            raise EmbeddedServerError("the server is not running")
        return self._process.poll()

    def wait(self) -> int:
        """Wait until the server ends by itself.

        Returns:
            Its exit status.
        """
        if self._process is None:
            raise EmbeddedServerError("the server is not running")
        return self._process.wait()

    def _launch(self, triton: TritonInstallation, libpython: Path | None) -> None:
        for abandoned in remove_abandoned():
            LOGGER.info("removed what a server that was killed has left: %s", abandoned)
        self.server_id = f"tritonpose-{secrets.token_hex(6)}"
        directory, lock = make_directory(self.server_id)
        try:
            stage_backends(triton, directory / "backends")
            models = place_models(self._models, self._options.device, directory / "models")
            models = tune_models(models, self._options.tuning, directory / "tuned")
            pipeline = complete_pipeline(self._options.tuning.pipeline, available_cores())
            stage_pipeline(
                directory / "models", models, self._settings, pipeline, self._options.hps
            )
            command = triton_command(
                triton,
                self.server_id,
                directory,
                models,
                self._options,
                self.ports,
                self.control_key,
            )
            self._start_guardian(command, triton_environment(triton, libpython), directory, lock)
        except BaseException:
            shutil.rmtree(directory)
            raise
        finally:
            # The processes of the server have it now.
            os.close(lock)

    def _start_guardian(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        lock: int,
    ) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-m", guardian.__name__),
                *(self.server_id, str(directory), str(self._options.stop_timeout + 5)),
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **self._watch_settings()},
            pass_fds=[lock],
            # Ctrl-C in a terminal reaches this process alone, which then stops the server.
            start_new_session=True,
        )
        if self._process.stdout is None:
            raise EmbeddedServerError("the server's output can't be read")
        self._log = LogForwarder(self._process.stdout)

    def _watch_settings(self) -> dict[str, str]:
        """Environment that tells the guardian how to watch Triton."""
        if not self._options.restart:
            return {}
        address = f"{self._options.local_host}:{self.ports.http}"
        settings = WatchSettings(address, self.control_key, self._options.hang_timeout)
        return {guardian.WATCH_VARIABLE: settings.to_json()}

    def _choose_ports(self) -> Ports:
        """The ports asked for, and free ones for the rest."""
        options = self._options
        wanted = (options.grpc_port, options.http_port, options.metrics_port)
        with ExitStack() as held:
            # All at once: they are to be different ones.
            sockets = [held.enter_context(bind(options.address, port)) for port in wanted]
            return Ports(*(holder.getsockname()[1] for holder in sockets))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._options.start_timeout
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                self._raise_ended()
            if self._answers():
                return
            time.sleep(_POLL_SECONDS)
        raise EmbeddedServerError(
            f"the server was not ready after {self._options.start_timeout:g} s; its last words:\n"
            f"{self._log.tail() if self._log else ''}"
        )

    def _raise_ended(self) -> None:
        self.stop()
        tail = self._log.tail() if self._log else ""
        if "already in use" in tail or "failed to start" in tail.lower():
            raise PortInUseError(f"a port of the server is taken:\n{tail}")
        raise EmbeddedServerError(f"the server ended while starting:\n{tail}")

    def _answers(self) -> bool:
        """Whether our own server, and not another one on its port, is ready."""
        address = f"{self._options.local_host}:{self.ports.http}"
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/v2")
            name = json.loads(connection.getresponse().read()).get("name")
            if name != self.server_id:
                return False
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
