"""Start and stop all contestants."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.benchmark.contestants import (
    Contestant,
    InProcessContestant,
    PredictContestant,
    RestContestant,
    TritonContestant,
)
from tools.benchmark.paddlex import check_same_models, start_paddlex
from tools.benchmark.subprocesses.launch import HttpService, WorkerProcess
from tools.benchmark.workload import Sample
from tritonpose.config import PipelineConfig
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import ModelChoice, choose_models

_BARE_ENGINE = Path(__file__).parent / "subprocesses" / "bare_engine.py"


@dataclass(frozen=True)
class Contestants:
    """All contestants, running.

    Attributes:
        choice: The models.
        server: Our server.
        rivals: PaddleX: in process with its defaults, in process at its fastest, serving; or none.
        engine: The limit.
        ours: Our server over gRPC, HTTP, REST.
        predict: Our server by the client's pipeline object.
    """

    choice: ModelChoice
    server: EmbeddedServer
    rivals: tuple[Contestant, ...]
    engine: InProcessContestant
    ours: tuple[Contestant, ...]
    predict: PredictContestant

    @property
    def in_tables(self) -> list[Contestant]:
        """All that answer images one by one, in the order of tables."""
        return [*self.rivals, self.engine, *self.ours]

    @property
    def paddlex(self) -> InProcessContestant | None:
        """PaddleX in process with its defaults, if it takes part."""
        first = self.rivals[0] if self.rivals else None
        return first if isinstance(first, InProcessContestant) else None


@contextmanager
def start_contestants(
    config: PipelineConfig,
    trial: Sequence[Sample],
    *,
    with_paddlex: bool,
    progress: Callable[[str], None],
) -> Iterator[Contestants]:
    """Start all contestants, for as long as the context lasts.

    Args:
        config: The pipeline that all of them run.
        trial: Images to find PaddleX's fastest setting with.
        with_paddlex: Whether PaddleX takes part; its environment is made where it is missing.
        progress: Called with lines for the user.

    Raises:
        BenchmarkError: A contestant can't be started, or PaddleX can't run the models.
        ConversionError: A model can't be converted, or PaddleX's environment can't be made.
        FetchError: The models can't be fetched.
        ServerError: The server does not start.
    """
    choice = choose_models(config, progress)
    if with_paddlex:
        check_same_models(config, choice.models)
    with ExitStack() as stack:

        def enter(contestant: Contestant) -> Contestant:
            stack.callback(contestant.close)
            return contestant

        rivals = start_paddlex(config, trial, progress, enter) if with_paddlex else ()
        progress("starting Triton, the REST service and the bare engine")
        engine = _bare_engine(choice)
        enter(engine)
        server = stack.enter_context(EmbeddedServer(choice.models, choice.settings))
        predict = PredictContestant(server)
        enter(predict)
        ours = (
            enter(TritonContestant("grpc", "tritonpose, gRPC", server.grpc_url, server)),
            enter(TritonContestant("http", "tritonpose, HTTP", server.http_url, server)),
            enter(_over_rest(server)),
        )
        yield Contestants(choice, server, rivals, engine, ours, predict)


def _bare_engine(choice: ModelChoice) -> InProcessContestant:
    by_name = {model.name: str(model) for model in choice.models}
    settings = choice.settings
    arguments = [
        by_name[settings.detector],
        by_name[settings.keypoint_model],
        json.dumps({key: text for key, text in settings.to_parameters().items() if text}),
    ]
    worker = WorkerProcess("the bare engine", [sys.executable], _BARE_ENGINE, arguments)
    return InProcessContestant("engine", "bare engine", "limit", parallel=True, worker=worker)


def _over_rest(server: EmbeddedServer) -> RestContestant:
    def command(_: Path, port: int) -> Sequence[str]:
        program = str(Path(sys.executable).with_name("tritonpose"))
        return [program, "serve", "--url", server.grpc_url, "--port", str(port)]

    service = HttpService("the REST service", command)
    behind = [] if server.pid is None else [server.pid]
    return RestContestant("rest", "tritonpose, REST", "ours", service, behind)
