"""Which settings to try: one knob after the other, each up and down as long as that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonpose.errors import ConfigError
from tritonpose_server.tuning.figures import Comparison
from tritonpose_server.tuning.settings import Tuning

Compare = Callable[[Tuning, Tuning], Comparison]
"""Measures the best setting so far and a candidate."""

_DELAYS = (0, 200, 1000, 5000)
_INSTANCES = (1, 2, 4)


@dataclass(frozen=True)
class Trial:
    """A change that was tried.

    Attributes:
        name: The knob.
        old: Its value in the best setting before.
        new: The value tried.
        comparison: What came of it.
    """

    name: str
    old: int
    new: int
    comparison: Comparison


def ladders(start: Tuning, cores: int) -> dict[str, tuple[int, ...]]:
    """The values worth trying.

    Args:
        start: Where the search begins. Knobs without a value there are left alone, and
            ``max_in_flight`` is, too: it decides who is refused, not how fast the rest is.
        cores: Cores that may be used.

    Returns:
        By knobs, in the order in which they are tried; values ascend.
    """
    of_cores = tuple(sorted({*_powers_of_two(cores), cores}))
    every = {
        # Keypoint models first: they have the most to do.
        "keypoint_model.streams": of_cores,
        "detector.streams": of_cores,
        "keypoint_model.threads": of_cores,
        "detector.threads": of_cores,
        "pipeline.threads": of_cores,
        "pipeline.workers": _powers_of_two(256),
        # No larger ones than the models', which may take no more.
        "keypoint_model.max_batch_size": _powers_of_two(start.keypoint_model.max_batch_size or 1),
        "detector.max_batch_size": _powers_of_two(start.detector.max_batch_size or 1),
        "keypoint_model.queue_delay_us": _DELAYS,
        "detector.queue_delay_us": _DELAYS,
        "keypoint_model.instances": _INSTANCES,
        "detector.instances": _INSTANCES,
    }
    chosen = start.values()
    return {name: steps for name, steps in every.items() if chosen[name] is not None}


def first_steps(start: Tuning, steps: Mapping[str, Sequence[int]]) -> int:
    """How many changes are tried if none of them helps."""
    return sum(
        step(start, name, ladder, upwards=upwards) is not None
        for name, ladder in steps.items()
        for upwards in (True, False)
    )


def step(tuning: Tuning, name: str, ladder: Sequence[int], *, upwards: bool) -> Tuning | None:
    """Turn one knob by one step.

    Args:
        tuning: The setting as it is.
        name: The knob.
        ladder: Its values, ascending.
        upwards: Whether to the next higher value.

    Returns:
        The setting with it; None at the ladder's end, and where it does not go with the others.
    """
    value = tuning.values()[name] or 0
    further = [each for each in ladder if (each > value if upwards else each < value)]
    if not further:
        return None
    try:
        return tuning.with_values({name: further[0] if upwards else further[-1]})
    except ConfigError:
        return None


class Search:
    """A coordinate-wise search.

    Each knob is turned upwards as long as every step wins; if the first one does not, downwards.
    Then comes the next knob. There is one pass over all knobs.

    Args:
        start: Where it begins.
        steps: By knobs, the values to try, ascending.
        compare: Measures.
        go_on: Asked before each trial; False ends the search.

    Attributes:
        best: The best setting so far, at any time.
        trials: What was tried so far.
    """

    def __init__(
        self,
        start: Tuning,
        steps: Mapping[str, Sequence[int]],
        compare: Compare,
        go_on: Callable[[], bool],
    ) -> None:
        self.best = start
        self.trials: list[Trial] = []
        self._steps = steps
        self._compare = compare
        self._go_on = go_on

    def run(self) -> Iterator[Trial]:
        """Search.

        Yields:
            Each trial when it is over.
        """
        for name, ladder in self._steps.items():
            for upwards in (True, False):
                before = self.best
                yield from self._climb(name, ladder, upwards=upwards)
                if self.best != before:
                    break

    def _climb(self, name: str, ladder: Sequence[int], *, upwards: bool) -> Iterator[Trial]:
        won = True
        while won:
            candidate = step(self.best, name, ladder, upwards=upwards)
            if candidate is None or not self._go_on():
                return
            old, new = self.best.values()[name], candidate.values()[name]
            trial = Trial(name, old or 0, new or 0, self._compare(self.best, candidate))
            self.trials.append(trial)
            won = trial.comparison.wins
            if won:
                self.best = candidate
            yield trial


def _powers_of_two(most: int) -> tuple[int, ...]:
    return tuple(2**exponent for exponent in range(most.bit_length()))
