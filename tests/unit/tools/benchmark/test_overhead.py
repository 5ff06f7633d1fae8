"""What the server adds to the bare engine."""

from __future__ import annotations

import numpy as np
import pytest

from tools.benchmark.overhead import (
    Overhead,
    cost_per_person,
    crop_milliseconds,
    request_overhead,
)
from tools.benchmark.results import Case, Measurement, Series


def people(figures: dict[int, float]) -> Measurement:
    cases = [Case(str(count), {"grpc": Series(ms, (ms,))}) for count, ms in figures.items()]
    return Measurement(
        name="people",
        title="",
        unit="ms",
        better="lower",
        cases=tuple(cases),
        headline="",
        summary="",
        pairs=(),
    )


def test_request_overhead_is_that_of_medians_image_by_image() -> None:
    engine = np.array([[[10, 100]], [[11, 100]], [[12, 500]]], float)
    served = np.array([[[13, 104]], [[90, 104]], [[12, 104]]], float)
    assert request_overhead(served, engine) == ((13 - 11) + (104 - 100)) / 2


def test_cost_per_person() -> None:
    # Finding nobody saves the keypoint model altogether: it is no part of a further person.
    assert cost_per_person(people({0: 5, 1: 20, 9: 40, 30: 107}), "grpc") == 3
    assert cost_per_person(people({0: 5, 1: 20}), "grpc") is None
    assert cost_per_person(people({0: 5}), "grpc") is None


def test_persons_in_crops() -> None:
    assert crop_milliseconds([0.002, 0.004, 0.003]) == pytest.approx(3)
    assert Overhead(person_ms=3.3, crop_ms=3.0).persons_per_crop == pytest.approx(1.1)
    assert Overhead(person_ms=3.3).persons_per_crop is None
    assert Overhead(crop_ms=3.3).persons_per_crop is None
