"""What is ours, and the bare engine that bounds it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.benchmark.contestants.in_process import InProcessContestant
from tools.benchmark.contestants.rest import RestContestant
from tools.benchmark.contestants.triton import TritonContestant
from tools.benchmark.http_service import HttpService
from tools.benchmark.workers.process import WorkerProcess
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import ModelChoice

_WORKER = Path(__file__).parents[1] / "workers" / "bare_engine.py"


def bare_engine(choice: ModelChoice) -> InProcessContestant:
    """The models of a choice around the pipeline's numerics, without a server."""
    by_name = {model.name: str(model) for model in choice.models}
    settings = choice.settings
    arguments = [
        by_name[settings.detector],
        by_name[settings.keypoint_model],
        json.dumps({key: text for key, text in settings.to_parameters().items() if text}),
    ]
    worker = WorkerProcess("the bare engine", [sys.executable], _WORKER, arguments)
    return InProcessContestant("engine", "bare engine", "limit", parallel=True, worker=worker)


def over_grpc(server: EmbeddedServer) -> TritonContestant:
    """Ours over gRPC."""
    return TritonContestant("grpc", "tritonpose, gRPC", server.grpc_url, server)


def over_http(server: EmbeddedServer) -> TritonContestant:
    """Ours over Triton's HTTP protocol, with binary tensors."""
    return TritonContestant("http", "tritonpose, HTTP", server.http_url, server)


def over_rest(server: EmbeddedServer) -> RestContestant:
    """Ours over REST."""

    def command(_: Path, port: int) -> Sequence[str]:
        program = str(Path(sys.executable).with_name("tritonpose"))
        return [program, "serve", "--url", server.grpc_url, "--port", str(port)]

    service = HttpService("the REST service", command)
    behind = [] if server.pid is None else [server.pid]
    return RestContestant("rest", "tritonpose, REST", "ours", service, behind)
