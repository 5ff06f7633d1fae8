"""Detection thresholds: one number, or one per class, as PaddleX's detectors take them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from numbers import Real

Threshold = float | Mapping[str, float]
"""From 0 to 1: of all classes, or by class, which is a label or the text of an id, from 0."""

UNLISTED = 0.5
"""Threshold of classes that a mapping doesn't list, as in PaddleX."""

_NUMBER = "a number from 0 to 1"
_EXPECTED = f"{_NUMBER}, or a mapping of classes (labels or ids) to such numbers"


class ThresholdError(ValueError):
    """A threshold is no threshold, or is for a class that a detector doesn't have."""


def check_threshold(value: object, name: str) -> Threshold:
    """Check a threshold that a user gave; keys of a mapping become texts.

    ThresholdError says what is wrong, and calls it ``name``.
    """
    if not isinstance(value, Mapping):
        return _number(value, name, _NUMBER if isinstance(value, Real) else _EXPECTED)
    checked: dict[str, float] = {}
    for key, number in value.items():
        if isinstance(key, bool) or not isinstance(key, int | str) or not str(key).strip():
            raise ThresholdError(f"{name} has the class {key!r}, which is no label or id")
        if str(key) in checked:
            raise ThresholdError(f"{name} has the class {key!r} twice")
        checked[str(key)] = _number(number, f"{name}[{key!r}]", _NUMBER)
    return checked


def threshold_from_text(text: str, name: str) -> Threshold:
    """Read a number or JSON; raise ThresholdError."""
    value: object
    try:
        value = float(text)
    except ValueError:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ThresholdError(f"{name} must be {_EXPECTED}, got {text[:100]!r}") from None
    return check_threshold(value, name)


def threshold_text(threshold: Threshold) -> str:
    """Write a threshold as JSON."""
    return json.dumps(
        {key: float(value) for key, value in threshold.items()}
        if isinstance(threshold, Mapping)
        else float(f"{threshold:.9g}")
    )


def read_class_ids(text: str) -> tuple[int, ...] | None:
    """Read ids of classes, such as ``0,2``; None where a text is something else."""
    if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", text, re.ASCII):
        return None
    return tuple(map(int, text.split(",")))


def class_ids(key: str, labels: Sequence[str], classes: Sequence[int]) -> list[int]:
    """Find the ids of a class by its label, else by the text of its id; none where it is unknown.

    ``labels`` are of all classes of the detector, empty where they are unknown; ``classes`` has the
    ids that count.
    """
    if found := [index for index, label in enumerate(labels) if label == key]:
        return found
    if not (key.isascii() and key.isdecimal()):
        return []
    known = range(len(labels)) if labels else classes
    return [int(key)] if int(key) in known else []


def class_thresholds(
    threshold: Threshold, name: str, labels: Sequence[str], classes: Sequence[int]
) -> tuple[float, ...]:
    """Return the threshold of each class that counts, of a threshold that was checked.

    For labels and classes see `class_ids`. ThresholdError, which calls it ``name``: it has a class
    that the detector doesn't have.
    """
    if not isinstance(threshold, Mapping):
        return (threshold,) * len(classes)
    by_id: dict[int, float] = {}
    for key, value in threshold.items():
        ids = class_ids(key, labels, classes)
        if not ids:
            raise ThresholdError(
                f"{name} has the class {key!r}, which the detector doesn't have; it has "
                f"{describe_classes(labels, classes)}"
            )
        by_id |= dict.fromkeys(ids, value)
    return tuple(by_id.get(index, UNLISTED) for index in classes)


def describe_classes(labels: Sequence[str], classes: Sequence[int]) -> str:
    """List a detector's classes for a message: ``0 (worker), 1 (helmet)``."""
    if not labels:
        return f"{', '.join(map(str, classes))} (its labels are unknown)"
    return ", ".join(f"{index} ({label})" for index, label in enumerate(labels))


def _number(value: object, name: str, expected: str) -> float:
    # NaN is not between them, either.
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= value <= 1:  # type: ignore[operator]
        return float(value)
    raise ThresholdError(f"{name} must be {expected}, got {repr(value)[:100]}")
