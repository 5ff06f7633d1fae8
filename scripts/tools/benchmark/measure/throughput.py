"""Images per second with several under way, and the CPU time that each takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tools.benchmark.contestants.base import Contestant, pairs
from tools.benchmark.load import Rate
from tools.benchmark.plan import Plan
from tools.benchmark.results import Case, Measurement, Series
from tools.benchmark.rounds import in_rounds
from tools.benchmark.shots import Shot
from tools.benchmark.watch import Watch

BEST = "best"

Figures = Mapping[str, Mapping[int, Series]]

_IN_FLIGHT = 8  # the client's default


def measure_throughput(
    contestants: Sequence[Contestant], shots: Sequence[Shot], plan: Plan, watch: Watch
) -> list[Measurement]:
    """Measure images per second at each concurrency, and CPU milliseconds per image.

    Contestants that take one image at a time are measured so; more under way at once would only
    wait, and their figure stands for every concurrency.
    """
    rates: dict[str, dict[int, Series]] = {each.key: {} for each in contestants}
    costs: dict[str, dict[int, Series]] = {each.key: {} for each in contestants}
    first, most = plan.concurrencies[0], str(plan.concurrencies[-1])
    for concurrency in plan.concurrencies:
        taking_part = [each for each in contestants if each.parallel or concurrency == first]
        found = _measure_rates(taking_part, shots, concurrency, plan, watch)
        for key, (rate, cost) in found.items():
            rates[key][concurrency], costs[key][concurrency] = rate, cost
    return [
        Measurement(
            name="throughput",
            title=f"Images per second, by images under way ({len(shots)} images)",
            unit="images/s",
            better="higher",
            cases=(*_cases(rates, plan.concurrencies), best_case(rates)),
            headline=BEST,
            summary="Images per second, best",
            pairs=pairs(contestants),
        ),
        Measurement(
            name="cpu",
            title="CPU time per image with what sends it, ms, by images under way",
            unit="ms",
            better="lower",
            cases=_cases(costs, plan.concurrencies),
            headline=most,
            summary=f"CPU time per image, {most} under way",
            pairs=pairs(contestants),
        ),
    ]


def measure_client(
    predict: Contestant,
    others: Sequence[Contestant],
    shots: Sequence[Shot],
    plan: Plan,
    watch: Watch,
) -> Measurement:
    """Measure images per second of `predict` and of what it is to be compared with."""
    found = _measure_rates([*others, predict], shots, _IN_FLIGHT, plan, watch)
    label = f"{_IN_FLIGHT} in flight"
    return Measurement(
        name="client",
        title=f"Images per second of the client over files ({len(shots)} images)",
        unit="images/s",
        better="higher",
        cases=(Case(label, {key: rate for key, (rate, _) in found.items()}),),
        headline=label,
        summary="Images per second over files",
        pairs=tuple((predict.key, other.key) for other in others),
    )


def best_case(rates: Figures) -> Case:
    """Each contestant at the concurrency where its median is highest."""
    return Case(
        BEST,
        {
            key: max(by_concurrency.values(), key=lambda series: series.value)
            for key, by_concurrency in rates.items()
        },
    )


def _measure_rates(
    contestants: Sequence[Contestant],
    shots: Sequence[Shot],
    concurrency: int,
    plan: Plan,
    watch: Watch,
) -> dict[str, tuple[Series, Series]]:
    """By the contestants' keys images per second, and CPU milliseconds per image."""
    counts = {each.key: _images_to_time(each, shots, concurrency, plan) for each in contestants}

    def measure(each: Contestant) -> Rate:
        # One turn of all that are under way, and the load is steady.
        return each.rate(shots, concurrency, concurrency, counts[each.key])

    return {
        key: (
            Series.of_rounds([rate.per_second for rate, _ in rounds]),
            Series.of_rounds([window.measured / rate.images * 1000 for rate, window in rounds]),
        )
        for key, rounds in in_rounds(contestants, plan.rounds, measure, watch).items()
    }


def _images_to_time(
    contestant: Contestant, shots: Sequence[Shot], concurrency: int, plan: Plan
) -> int:
    """Whole passes over the images, so that each weighs alike.

    They take the planned duration, and have every one of those under way answered at least once.
    """
    probe = contestant.rate(shots, concurrency, 0, len(shots))
    least = max(plan.rate_seconds * probe.per_second, concurrency)
    return math.ceil(least / len(shots)) * len(shots)


def _cases(figures: Figures, concurrencies: Sequence[int]) -> tuple[Case, ...]:
    first = concurrencies[0]
    return tuple(
        Case(
            str(concurrency),
            {key: series.get(concurrency, series[first]) for key, series in figures.items()},
        )
        for concurrency in concurrencies
    )
