"""Measure images per second with several in flight, and the CPU time that each takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tools.benchmark.contestants import Contestant, pairs
from tools.benchmark.latency import in_rounds
from tools.benchmark.load import Rate
from tools.benchmark.machine import Watch
from tools.benchmark.results import Case, Measurement, Series
from tools.benchmark.workload import Plan, Sample

BEST = "best"

Figures = Mapping[str, Mapping[int, Series]]

_IN_FLIGHT = 8  # the client's default


def measure_throughput(
    contestants: Sequence[Contestant], samples: Sequence[Sample], plan: Plan, watch: Watch
) -> list[Measurement]:
    """Measure images per second at each concurrency, and CPU milliseconds per image.

    Contestants that take one image at a time are measured so; more in flight would only wait,
    and their figure is repeated for every concurrency.
    """
    rates: dict[str, dict[int, Series]] = {each.key: {} for each in contestants}
    costs: dict[str, dict[int, Series]] = {each.key: {} for each in contestants}
    first, most = plan.concurrencies[0], str(plan.concurrencies[-1])
    for concurrency in plan.concurrencies:
        taking_part = [each for each in contestants if each.parallel or concurrency == first]
        found = _measure_rates(taking_part, samples, concurrency, plan, watch)
        for key, (rate, cost) in found.items():
            rates[key][concurrency], costs[key][concurrency] = rate, cost
    return [
        Measurement(
            name="throughput",
            title=f"Images per second, by images in flight ({len(samples)} images)",
            unit="images/s",
            better="higher",
            cases=(*_cases(rates, plan.concurrencies), best_case(rates)),
            headline=BEST,
            summary="Images per second, best",
            pairs=pairs(contestants),
        ),
        Measurement(
            name="cpu",
            title="CPU time per image with what sends it, ms, by images in flight",
            unit="ms",
            better="lower",
            cases=_cases(costs, plan.concurrencies),
            headline=most,
            summary=f"CPU time per image, {most} in flight",
            pairs=pairs(contestants),
        ),
    ]


def measure_client(
    predict: Contestant,
    others: Sequence[Contestant],
    samples: Sequence[Sample],
    plan: Plan,
    watch: Watch,
) -> Measurement:
    """Measure images per second of `predict` and of what it is compared with."""
    found = _measure_rates([*others, predict], samples, _IN_FLIGHT, plan, watch)
    label = f"{_IN_FLIGHT} in flight"
    return Measurement(
        name="client",
        title=f"Images per second of the client over files ({len(samples)} images)",
        unit="images/s",
        better="higher",
        cases=(Case(label, {key: rate for key, (rate, _) in found.items()}),),
        headline=label,
        summary="Images per second over files",
        pairs=tuple((predict.key, other.key) for other in others),
    )


def best_case(rates: Figures) -> Case:
    """Pick each contestant's series at the concurrency where its median is highest."""
    return Case(
        BEST,
        {
            key: max(by_concurrency.values(), key=lambda series: series.value)
            for key, by_concurrency in rates.items()
        },
    )


def _measure_rates(
    contestants: Sequence[Contestant],
    samples: Sequence[Sample],
    concurrency: int,
    plan: Plan,
    watch: Watch,
) -> dict[str, tuple[Series, Series]]:
    """Measure images per second and CPU milliseconds per image, by contestant's key."""
    counts = {each.key: _images_to_time(each, samples, concurrency, plan) for each in contestants}

    def measure(each: Contestant) -> Rate:
        # Once all in flight have been answered, the load is steady.
        return each.rate(samples, concurrency, concurrency, counts[each.key])

    return {
        key: (
            Series.of_rounds([rate.per_second for rate, _ in rounds]),
            Series.of_rounds([window.measured / rate.images * 1000 for rate, window in rounds]),
        )
        for key, rounds in in_rounds(contestants, plan.rounds, measure, watch).items()
    }


def _images_to_time(
    contestant: Contestant, samples: Sequence[Sample], concurrency: int, plan: Plan
) -> int:
    """Choose whole passes over the images, so that each counts equally.

    They last the planned duration, and at least until all in flight have been answered once.
    """
    probe = contestant.rate(samples, concurrency, 0, len(samples))
    least = max(plan.rate_seconds * probe.per_second, concurrency)
    return math.ceil(least / len(samples)) * len(samples)


def _cases(figures: Figures, concurrencies: Sequence[int]) -> tuple[Case, ...]:
    first = concurrencies[0]
    return tuple(
        Case(
            str(concurrency),
            {key: series.get(concurrency, series[first]) for key, series in figures.items()},
        )
        for concurrency in concurrencies
    )
