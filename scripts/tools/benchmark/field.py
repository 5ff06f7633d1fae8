"""Starts everyone who takes part, and stops them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.benchmark.contestants import ours, paddlex
from tools.benchmark.contestants.base import Contestant
from tools.benchmark.contestants.in_process import InProcessContestant
from tools.benchmark.contestants.predict import PredictContestant
from tools.benchmark.paddlex_config import check_same_models, paddlex_config
from tools.benchmark.paddlex_environment import PADDLEX_ENVIRONMENT
from tools.benchmark.shots import Shot
from tritonpose.config import PipelineConfig
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import ModelChoice, choose_models

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Field:
    """Everyone who takes part, running.

    Attributes:
        choice: The models.
        server: Ours.
        rivals: PaddleX: in process as it comes, in process at its fastest, serving; or none.
        engine: The limit.
        ours: Over gRPC, HTTP, REST.
        predict: Ours by the client's pipeline object.
    """

    choice: ModelChoice
    server: EmbeddedServer
    rivals: tuple[Contestant, ...]
    engine: InProcessContestant
    ours: tuple[Contestant, ...]
    predict: PredictContestant

    @property
    def contestants(self) -> list[Contestant]:
        """All that answer images one by one, in the order of tables."""
        return [*self.rivals, self.engine, *self.ours]

    @property
    def paddlex(self) -> InProcessContestant | None:
        """PaddleX in process as it comes, if it takes part."""
        first = self.rivals[0] if self.rivals else None
        return first if isinstance(first, InProcessContestant) else None


@contextmanager
def open_field(
    config: PipelineConfig, trial: list[Shot], *, with_paddlex: bool, progress: Progress
) -> Iterator[Field]:
    """Start everyone, for as long as the context lasts.

    Args:
        config: The pipeline that all of them run.
        trial: Images to find PaddleX's fastest setting with.
        with_paddlex: Whether PaddleX takes part; its environment is made where it is missing.
        progress: Called with lines for the user.

    Raises:
        BenchmarkError: A contestant can't be started, or PaddleX can't run the models.
        ConversionError: A model can't be converted, or PaddleX's environment can't be made.
        FetchError: The models can't be fetched.
        EmbeddedServerError: The server does not start.
    """
    choice = choose_models(config, progress)
    if with_paddlex:
        check_same_models(config, choice.models)
    with ExitStack() as stack:

        def enter(contestant: Contestant) -> Contestant:
            stack.callback(contestant.close)
            return contestant

        rivals = _start_paddlex(config, trial, enter, progress) if with_paddlex else ()
        progress("starting Triton, the REST service and the bare engine")
        engine = ours.bare_engine(choice)
        enter(engine)
        server = stack.enter_context(EmbeddedServer(choice.models, choice.settings))
        predict = PredictContestant(server)
        enter(predict)
        served = tuple(
            enter(start(server)) for start in (ours.over_grpc, ours.over_http, ours.over_rest)
        )
        yield Field(choice, server, rivals, engine, served, predict)


def _start_paddlex(
    config: PipelineConfig,
    trial: list[Shot],
    enter: Callable[[Contestant], Contestant],
    progress: Progress,
) -> tuple[Contestant, ...]:
    content = paddlex_config(config)
    python: Path = PADDLEX_ENVIRONMENT.ensure(progress)
    progress("looking for PaddleX's fastest setting")
    threads = paddlex.find_fastest_threads(python, content, trial, progress)
    progress("starting PaddleX: in process as it comes and at its fastest, and its serving")
    return (
        enter(paddlex.paddlex_defaults(python, content)),
        enter(paddlex.paddlex_with_threads(python, content, threads)),
        enter(paddlex.paddlex_serving(python, content, threads)),
    )
