"""Measures settings against each other on real servers, in turns."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from tritonpose.errors import TritonPoseError
from tritonpose.transport import connect
from tritonpose.transport.messages import PoseRequest
from tritonpose_server.embedded import EmbeddedServer
from tritonpose_server.load import measure_rate
from tritonpose_server.process_tree import resident_bytes
from tritonpose_server.tuning.figures import Comparison, Figures, Sample, middle, score
from tritonpose_server.tuning.settings import Tuning

ROUNDS = 3
"""Times that each setting has its turn in a comparison."""

_TIMEOUT_SECONDS = 60.0

# Of the largest load, before anything is measured: memory is taken and caches are filled.
_WARM_UP_TURNS = 2


class Contender:
    """A running server with a certain setting. A context manager, which stops it.

    Args:
        tuning: The setting.
        server: The server, not started yet.
        requests: What it is asked.

    Raises:
        TritonPoseError: It can't be started.
    """

    def __init__(
        self, tuning: Tuning, server: EmbeddedServer, requests: Sequence[PoseRequest]
    ) -> None:
        self.tuning = tuning
        self._requests = requests
        self._began = self._ready = time.monotonic()
        with ExitStack() as stack:
            self._server = stack.enter_context(server)
            self._transport = connect(server.grpc_url, _TIMEOUT_SECONDS, retries=0)
            stack.callback(self._transport.close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def start_seconds(self) -> float:
        """How long it took to start it and to warm it up."""
        return self._ready - self._began

    def warm_up(self, load: int, count: int) -> None:
        """Ask, and forget the answers.

        Args:
            load: Images under way.
            count: Images.

        Raises:
            TritonPoseError: The server fails or refuses an image.
        """
        measure_rate(self._transport.infer, self._requests, load, 0, count)
        self._ready = time.monotonic()

    def measure(self, load: int, count: int) -> Sample:
        """Measure one load.

        Args:
            load: Images under way.
            count: Images to time, after one turn of all that are under way.

        Raises:
            TritonPoseError: The server fails or refuses an image.
        """
        times: list[float] = []

        def call(request: PoseRequest) -> None:
            began = time.perf_counter()
            self._transport.infer(request)
            times.append((time.perf_counter() - began) * 1000)

        rate = measure_rate(call, self._requests, load, load, count)
        times.sort()
        p95 = times[math.ceil(0.95 * len(times)) - 1]
        return Sample(rate.per_second, statistics.median(times), p95)

    @property
    def runs(self) -> bool:
        """Whether the server still runs."""
        return self._server.poll() is None

    def memory_bytes(self) -> int:
        """Memory of the server's processes."""
        return resident_bytes([] if self._server.pid is None else [self._server.pid])


class Arena:
    """Two servers at most, one of which is measured while the other one waits.

    A context manager, which stops both.

    Args:
        open_server: Makes a server with a setting, without starting it.
        requests: What servers are asked, again and again.
        loads: Numbers of images under way at a time.

    Attributes:
        comparison_seconds: How long a comparison takes, about; known after ``measure``.
    """

    def __init__(
        self,
        open_server: Callable[[Tuning], EmbeddedServer],
        requests: Sequence[PoseRequest],
        loads: Sequence[int],
    ) -> None:
        self.comparison_seconds = 0.0
        self._open_server = open_server
        self._requests = requests
        self._loads = loads
        self._champion: Contender | None = None
        self._counts: Mapping[int, int] = {}

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        champion, self._champion = self._champion, None
        if champion is not None:
            champion.__exit__(kind, error, traceback)

    def start(self, tuning: Tuning) -> float:
        """Start the setting that others are to beat.

        Returns:
            Seconds that this took.

        Raises:
            TritonPoseError: It can't be started, fails, or refuses an image.
        """
        self._champion = self._start(tuning)
        return self._champion.start_seconds

    def measure(self, seconds: float) -> Figures:
        """Measure the setting that has been started.

        Args:
            seconds: How long one measurement is to take, about; from then on for all settings.

        Raises:
            TritonPoseError: The server fails.
        """
        champion = self._running()
        rates = {load: champion.measure(load, load).rate for load in self._loads}
        # Everyone answers the same number of images, so that all answer the same images.
        self._counts = {load: math.ceil(max(rate * seconds, load)) for load, rate in rates.items()}
        # Before them, one turn of all that are under way.
        each = sum((self._counts[load] + load) / rate for load, rate in rates.items())
        self.comparison_seconds = champion.start_seconds + 2 * ROUNDS * each
        rounds = [self._turn([champion])[0] for _ in range(ROUNDS)]
        return Figures(middle(rounds), champion.memory_bytes())

    def compare(self, best: Tuning, candidate: Tuning) -> Comparison:
        """Measure a candidate against the best setting so far (see ``search.Compare``).

        Raises:
            TritonPoseError: The server of the best setting fails.
        """
        champion = self._running()
        if champion.tuning != best:
            raise ValueError("a candidate is to be compared with the setting that runs")
        try:
            challenger = self._start(candidate)
        except TritonPoseError as error:
            return Comparison(failure=str(error))
        with ExitStack() as stack:
            stack.enter_context(challenger)
            comparison = self._compare(champion, challenger)
            if comparison.wins:
                self._champion = challenger
                stack.pop_all()
                champion.__exit__(None, None, None)
        return comparison

    def _compare(self, champion: Contender, challenger: Contender) -> Comparison:
        comparison = Comparison()
        turns: dict[Contender, list[dict[int, Sample]]] = {champion: [], challenger: []}
        while len(comparison.ratios) < ROUNDS:
            # They take turns to begin, too.
            pair = list(turns) if len(comparison.ratios) % 2 else list(reversed(turns))
            try:
                for contender, samples in zip(pair, self._turn(pair), strict=True):
                    turns[contender].append(samples)
            except TritonPoseError as error:
                if challenger.runs:
                    raise
                return Comparison(failure=str(error))
            figures, best_figures = (
                Figures(middle(turns[each]), each.memory_bytes()) for each in (challenger, champion)
            )
            ratio = score(turns[challenger][-1]) / score(turns[champion][-1])
            comparison = Comparison((*comparison.ratios, ratio), figures, best_figures)
            if comparison.hopeless:
                break
        return comparison

    def _turn(self, contenders: Sequence[Contender]) -> list[dict[int, Sample]]:
        """Measure all loads of all contenders, load by load."""
        samples: list[dict[int, Sample]] = [{} for _ in contenders]
        for load, count in self._counts.items():
            for contender, measured in zip(contenders, samples, strict=True):
                measured[load] = contender.measure(load, count)
        return samples

    def _running(self) -> Contender:
        if self._champion is None:
            raise ValueError("nothing has been started")
        return self._champion

    def _start(self, tuning: Tuning) -> Contender:
        contender = Contender(tuning, self._open_server(tuning), self._requests)
        try:
            most = max(self._loads)
            contender.warm_up(most, max(_WARM_UP_TURNS * most, len(self._requests)))
        except BaseException:
            contender.__exit__(None, None, None)
            raise
        return contender
