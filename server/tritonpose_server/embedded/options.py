"""Where and how an embedded server runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tritonpose_pipeline.cores import available_cores
from tritonpose_server.embedded.device import Device
from tritonpose_server.embedded.staging import HpsOptions
from tritonpose_server.embedded.tuning import PipelineTuning, Tuning, complete_pipeline
from tritonpose_server.ports import url_host


@dataclass(frozen=True)
class ServerOptions:
    """Where and how an embedded server runs.

    Attributes:
        address: Interface to listen on. Triton's own ports are for trusted clients only.
        metrics_address: Interface on which ``/metrics`` listens, None for ``address``.
        grpc_port: gRPC port, None for a free one.
        http_port: HTTP port, None for a free one.
        metrics_port: Port of ``/metrics``, None for a free one.
        start_timeout: Seconds until the server must be ready.
        stop_timeout: Seconds requests in flight get to finish when the server stops.
        hang_timeout: Seconds without a response after which it, or one of its models, hangs.
        control_key: The key that opens Triton's control endpoints (load and unload models, shared
            memory, traces, log settings); None: nothing opens them. Every user of the machine can
            read it from Triton's command line, and who has it runs code as the server's user.
        device: Where the models compute; None for where their configurations say.
        tuning: Threads, streams, processes, batches and queues.
        compiled: Directory for what OpenVINO compiles, which makes the next start faster; None for
            compiling at each start.
        hps: What Triton's model of PaddleX's service contract does.
    """

    address: str = "127.0.0.1"
    metrics_address: str | None = None
    grpc_port: int | None = None
    http_port: int | None = None
    metrics_port: int | None = None
    start_timeout: float = 120.0
    stop_timeout: float = 10.0
    hang_timeout: float = 10.0
    control_key: str | None = field(default=None, repr=False)
    device: Device | None = None
    tuning: Tuning = field(default_factory=Tuning)
    compiled: Path | None = None
    hps: HpsOptions = field(default_factory=HpsOptions)

    @property
    def pipeline(self) -> PipelineTuning:
        """How much the pipeline works on at a time, with all values."""
        on_gpus = self.device is not None and bool(self.device.gpus)
        return complete_pipeline(self.tuning.pipeline, available_cores(), on_gpus=on_gpus)

    @property
    def metrics_host(self) -> str:
        """Where ``/metrics`` listens."""
        return self.metrics_address or self.address

    @property
    def local_host(self) -> str:
        """Where this machine reaches the server."""
        # Not `localhost`, which may be ::1 first, where another server may listen.
        loopback = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
        return loopback.get(self.address) or url_host(self.address)
