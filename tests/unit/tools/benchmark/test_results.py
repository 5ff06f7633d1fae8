"""Series, cases and ratios."""

from __future__ import annotations

import statistics
from typing import Literal

import pytest

from tools.benchmark.results import Case, Measurement, Series, percentile


def measurement(better: Literal["lower", "higher"], case: Case) -> Measurement:
    return Measurement(
        name="name",
        title="Title",
        unit="ms",
        better=better,
        cases=(case,),
        headline=case.label,
        summary="Summary",
        pairs=(("ours", "rival"),),
    )


def test_figure_of_pooled_samples_and_of_each_round() -> None:
    series = Series.of_samples([[1, 2, 9], [4, 5, 6]], statistics.median)
    assert series.value == 4.5
    assert series.rounds == (2, 5)
    assert (series.low, series.high) == (2, 5)


def test_figure_given_once_per_round() -> None:
    series = Series.of_rounds([3.0, 1.0, 2.0])
    assert series == Series(2.0, (3.0, 1.0, 2.0))
    assert (series.low, series.high) == (1, 3)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 1.0), (50, 3.0), (95, 4.8), (99, 4.96), (100, 5.0)]
)
def test_percentiles_are_interpolated(share: float, expected: float) -> None:
    assert percentile(share)([5, 1, 4, 2, 3]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("better", "expected"), [("higher", (4.0, 8.0)), ("lower", (1 / 4, 1 / 8))]
)
def test_ratios_are_those_of_the_rounds(
    better: Literal["lower", "higher"], expected: tuple[float, float]
) -> None:
    """The machine was twice as fast in the second round, which changes no ratio by itself."""
    case = Case("x", {"ours": Series(30.0, (20.0, 80.0)), "rival": Series(8.0, (5.0, 10.0))})
    ratio = measurement(better, case).ratio(case, "ours", "rival")
    assert ratio is not None
    assert ratio.rounds == expected
    assert ratio.value == statistics.median(expected)


def test_no_ratio_without_both() -> None:
    case = Case("x", {"ours": Series(1.0, (1.0,))})
    found = measurement("lower", case)
    assert found.ratio(case, "ours", "rival") is None
    assert found.ratio(case, "rival", "ours") is None
    assert found.contestants() == ["ours"]
