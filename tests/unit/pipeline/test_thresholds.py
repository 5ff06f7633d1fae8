"""Thresholds of detection scores, one or one by class."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tritonpose_pipeline.thresholds import (
    ThresholdError,
    check_threshold,
    class_thresholds,
    threshold_from_text,
    threshold_text,
)

LABELS = ("worker", "dog", "工人")


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25), np.int64(1)])
def test_numbers(value: float) -> None:
    checked = check_threshold(value, "t")
    assert checked == value
    assert type(checked) is float
    assert threshold_from_text(threshold_text(checked), "t") == checked


def test_by_class() -> None:
    checked = check_threshold({"worker": 0.25, 2: 1, "x": np.float32(0.5)}, "t")
    assert checked == {"worker": 0.25, "2": 1.0, "x": 0.5}
    assert threshold_from_text(threshold_text(checked), "t") == checked
    assert threshold_text({"工人": 0.5}).isascii()


@pytest.mark.parametrize(
    "value",
    [
        *(-0.1, 1.1, float("nan"), float("inf"), True, "0.5", None, [], [0.5], 10**400, 1j),
        *({"a": 2}, {"a": None}, {"a": "0.5"}, {"a": True}, {"a": {"b": 0.5}}),
        *({"": 0.5}, {" ": 0.5}, {True: 0.5}, {None: 0.5}, {0.5: 0.5}, {0: 0.5, "0": 0.6}),
    ],
)
def test_mistakes(value: object) -> None:
    with pytest.raises(ThresholdError, match=r"^t(\[| has| must)"):
        check_threshold(value, "t")


@pytest.mark.parametrize("text", ["", "high", "{", "[" * 100_000, '{"a": NaN}', "1e999", "null"])
def test_text_that_is_none(text: str) -> None:
    with pytest.raises(ThresholdError, match=r"^t") as caught:
        threshold_from_text(text, "t")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("threshold", "classes", "expected"),
    [
        (0.3, (0, 2), (0.3, 0.3)),
        ({"worker": 0.1}, (0, 2), (0.1, 0.5)),
        ({"2": 0.1, "dog": 0.9}, (0, 2), (0.5, 0.1)),
        ({"工人": 0.1}, (2,), (0.1,)),
        ({}, (0, 1), (0.5, 0.5)),
    ],
)
def test_of_each_class(
    threshold: object, classes: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    checked = check_threshold(threshold, "t")
    assert class_thresholds(checked, "t", LABELS, classes) == expected


def test_classes_that_a_detector_lacks() -> None:
    for key in ("cat", "3", "-1", "\u0661", "Worker"):
        with pytest.raises(ThresholdError) as caught:
            class_thresholds({key: 0.5}, "t", LABELS, (0,))
        assert f"{key!r}, which the detector doesn't have" in str(caught.value)
        assert "0 (worker), 1 (dog), 2 (工人)" in str(caught.value)
    # Where nobody knows the labels, only what counts can be named.
    assert class_thresholds({"4": 0.25}, "t", (), (0, 4)) == (0.5, 0.25)
    with pytest.raises(ThresholdError, match=r"0, 4 \(its labels are unknown\)"):
        class_thresholds({"1": 0.25}, "t", (), (0, 4))


def test_labels_that_occur_twice_or_look_like_ids() -> None:
    labels = ("a", "b", "a", "1")
    assert class_thresholds({"a": 0.1, "1": 0.2}, "t", labels, (0, 1, 2, 3)) == (0.1, 0.5, 0.1, 0.2)
    assert json.loads(threshold_text({"1": 0.2})) == {"1": 0.2}
