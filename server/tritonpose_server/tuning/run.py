"""``tritonpose tune``: finds the fastest setting for a machine, its models and its images."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonpose.config import PipelineConfig
from tritonpose.errors import TritonPoseError
from tritonpose.transport.messages import PoseRequest
from tritonpose_server.device import Device, configure_leaf
from tritonpose_server.embedded import EmbeddedServer
from tritonpose_server.gpus import require_gpus
from tritonpose_server.leaf_view import read_config
from tritonpose_server.leaves.cores import available_cores
from tritonpose_server.model_choice import ModelChoice, choose_models
from tritonpose_server.photos import choose_photos, read_photo
from tritonpose_server.server_options import ServerOptions
from tritonpose_server.tuning.apply import leaf_tuning
from tritonpose_server.tuning.arena import ROUNDS, Arena
from tritonpose_server.tuning.defaults import complete_pipeline
from tritonpose_server.tuning.figures import Comparison, Figures
from tritonpose_server.tuning.search import Search, Trial, first_steps, ladders
from tritonpose_server.tuning.settings import PipelineTuning, Tuning

MAX_IMAGES = 16
"""More of them hardly change what is fastest."""

# Of one measurement.
_LEAST_SECONDS, _MOST_SECONDS = 0.3, 2.0


@dataclass(frozen=True)
class Job:
    """What is to be tuned.

    Attributes:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        images: Image files and directories, of what will be asked.
        device: Where to compute; None for where the models' configurations say.
        seconds: How long it may take, about; at least one change is tried.
        loads: Numbers of images under way at a time; each weighs the same.
    """

    pipeline: str
    images: Sequence[Path]
    device: Device | None
    seconds: float
    loads: tuple[int, ...]


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        start: The setting without any tuning.
        start_figures: What was measured of it at the beginning.
        best: The fastest setting.
        models: Names of detector and keypoint model.
        trials: All changes that were tried.
        check: In the end, the setting without any tuning as a candidate against the best one; None
            where nothing was better, or for want of time.
        confirmed: Whether the check, if there was one, has found the best one faster.
        interrupted: Whether somebody has ended it.
        failure: What has ended it, if the server of the best setting has failed.
        seconds: How long it took.
    """

    start: Tuning
    start_figures: Figures
    best: Tuning
    models: tuple[str, str]
    trials: list[Trial] = field(default_factory=list)
    check: Comparison | None = None
    confirmed: bool = True
    interrupted: bool = False
    failure: str = ""
    seconds: float = 0.0


def tune(job: Job, report: Callable[[str], None], tell_trial: Callable[[Trial], None]) -> Outcome:
    """Search the fastest setting.

    Ctrl-C or a server that fails end the search, not this function: what was best so far is
    returned.

    Args:
        job: What is to be tuned.
        report: Called with lines for the user.
        tell_trial: Called with each trial when it is over.

    Raises:
        ConfigError: The pipeline's configuration is wrong.
        ConversionError: A model can't be converted.
        FetchError: The models can't be fetched.
        InputError: An image can't be read.
        ServerError: There is no image, one can't be decoded, or Triton can't be started.
        TritonPoseError: The server without tuning fails or refuses an image.
        KeyboardInterrupt: Ctrl-C before anything was measured.
    """
    config = PipelineConfig.load(job.pipeline)
    if job.device is not None:
        require_gpus(job.device.gpus)
    requests = [_request(file) for file in choose_photos(job.images, MAX_IMAGES, "tuning")]
    choice = choose_models(config, report)
    cores = available_cores()
    start = untuned(choice, job.device, cores)
    steps = ladders(start, cores)

    def open_server(tuning: Tuning) -> EmbeddedServer:
        options = ServerOptions(device=job.device, restart=False, tuning=tuning)
        return EmbeddedServer(choice.leaves, choice.settings, options)

    report(
        f"measuring the server without tuning with {len(requests)} of the images; all takes "
        f"{job.seconds:.0f} s or less"
    )
    began = time.monotonic()
    outcome: Outcome | None = None
    try:
        with Arena(open_server, requests, job.loads) as arena:
            changes = first_steps(start, steps)
            start_seconds = arena.start(start)
            each = measurement_seconds(job.seconds, changes, start_seconds, len(job.loads))
            figures = arena.measure(each)
            names = (choice.settings.detector, choice.settings.keypoint_model)
            outcome = Outcome(start, figures, start, names)
            left = max(began + job.seconds - time.monotonic(), 0.0)
            report(forecast(left, changes, arena.comparison_seconds))
            search = Search(start, steps, arena.compare, _Clock(began + job.seconds).go_on)
            outcome.trials = search.trials
            for trial in search.run():
                outcome.best = search.best
                tell_trial(trial)
            if outcome.best != start:
                report("comparing the best setting with none once more")
                outcome.check = arena.compare(outcome.best, start)
                if outcome.check.ratio >= 1:
                    outcome.confirmed, outcome.best = False, start
    except (KeyboardInterrupt, TritonPoseError) as error:
        if outcome is None:
            raise
        # Even while servers are stopped: what was found out is not to be lost.
        outcome.interrupted = isinstance(error, KeyboardInterrupt)
        outcome.failure = str(error)
    return dataclasses.replace(outcome, seconds=time.monotonic() - began)


def untuned(choice: ModelChoice, device: Device | None, cores: int) -> Tuning:
    """How models are served without any tuning.

    Args:
        choice: The models.
        device: Where they compute; None for where their configurations say.
        cores: Cores that may be used.
    """
    leaves = {}
    for directory in choice.leaves:
        config = read_config(directory)
        placed = config if device is None else configure_leaf(config, device)
        leaves[directory.name] = leaf_tuning(placed, cores)
    settings = choice.settings
    return Tuning(
        leaves[settings.detector],
        leaves[settings.keypoint_model],
        complete_pipeline(PipelineTuning(), cores),
    )


class _Clock:
    """Ends a search in time.

    Args:
        deadline: On the monotonic clock.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._last: float | None = None
        self._longest = 0.0

    def go_on(self) -> bool:
        """Whether there is time for another trial, and for the check in the end."""
        now = time.monotonic()
        if self._last is None:
            # At least one.
            self._last = now
            return True
        self._longest = max(self._longest, now - self._last)
        self._last = now
        return now + 2 * self._longest <= self._deadline


def _request(file: str) -> PoseRequest:
    source = read_photo(file).source
    return PoseRequest(image=source) if isinstance(source, bytes) else PoseRequest(frame=source)


def measurement_seconds(seconds: float, changes: int, start_seconds: float, loads: int) -> float:
    """Spread the time over all measurements.

    Args:
        seconds: How much there is.
        changes: How many changes are to be tried.
        start_seconds: How long it takes to start a server.
        loads: How many measurements a server's turn has.

    Returns:
        Seconds for one measurement, neither too few to mean anything nor more than needed.
    """
    # The setting without tuning is started and measured, too, at the beginning and in the end.
    each = seconds / (changes + 2) - start_seconds
    return min(max(each / (2 * ROUNDS * loads), _LEAST_SECONDS), _MOST_SECONDS)


def forecast(seconds: float, changes: int, comparison_seconds: float) -> str:
    """Say what will be tried, and how long it will take.

    Args:
        seconds: How much time there is.
        changes: How many changes are to be tried.
        comparison_seconds: How long each takes.
    """
    needed = comparison_seconds * (changes + 1)
    time_needed = f"about {needed:.0f} s"
    if needed > seconds:
        tried = max(int(seconds / comparison_seconds) - 1, 1)
        time_needed = (
            f"{max(seconds, 2 * comparison_seconds):.0f} s are enough for {tried} of them, "
            f"{needed:.0f} s would be for all"
        )
    return (
        f"changes to try: {changes} or more, each compared in {comparison_seconds:.0f} s; "
        f"{time_needed}; Ctrl-C ends it with what is best so far"
    )
