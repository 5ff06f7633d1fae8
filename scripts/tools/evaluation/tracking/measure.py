"""Measure what a tracker shows of a clip: ids, jitter, delay, overshoot."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.evaluation.tracking.metrics import (
    Seen,
    count_shared,
    count_switches,
    ids_of,
    lag,
    match_people,
    overshoot,
    rms_acceleration,
)
from tools.evaluation.tracking.recording import Recording
from tools.evaluation.tracking.scenes import JUMP, MOVING, STILL

Floats = npt.NDArray[np.float64]

# Only joints that were found well in all frames; the others jump between places.
_CLEAR = 0.3
# The frames in which a filter sets in.
_SETTLED_S = 0.5
# Slower people are no measure of delay, in pixels per frame.
_LEAST_SPEED = 0.5


def measure_ids(truth: Sequence[Seen], shown: Sequence[Seen]) -> dict[str, Any]:
    """Count changes of ids, and ids that several people had; list the ids of each person."""
    ids = ids_of(match_people(truth, shown), shown)
    return {"switches": count_switches(ids), "shared": count_shared(ids), "ids": ids}


def measure_motion(
    recording: Recording, raw: Sequence[Seen], shown: Sequence[Seen]
) -> dict[str, float]:
    """Measure the joints that are shown against the raw ones, as the clip's kind allows.

    ``raw_jitter`` and ``jitter`` are RMS accelerations of people at rest, in heights per second
    squared; ``lag`` is in frames; ``overshoot`` in pixels.
    """
    kind = recording.clip.kind
    tracks = [
        series
        for person in {one.identity for people in recording.truth for one in people}
        if (series := _series(recording, raw, shown, person)) is not None
    ]
    if not tracks:
        return {}
    if kind == STILL:
        rate = recording.clip.rate
        jitter = [
            [rms_acceleration(points, rate) / height for points in (one, other)]
            for _, one, other, height in tracks
        ]
        before, after = np.sqrt(np.mean(np.square(jitter), axis=0)).tolist()
        return {"raw_jitter": before, "jitter": after}
    if kind == MOVING:
        delays = []
        for true, one, other, _ in tracks:
            velocity = np.gradient(true, axis=0)
            if np.sqrt((velocity**2).sum(axis=-1).mean()) >= _LEAST_SPEED:
                delays.append(lag(one, other, velocity))
        return {"lag": float(np.mean(delays))} if delays else {}
    if kind == JUMP:
        return {"overshoot": max(overshoot(one, other) for _, one, other, _ in tracks)}
    return {}


def _series(
    recording: Recording, raw: Sequence[Seen], shown: Sequence[Seen], person: int
) -> tuple[Floats, Floats, Floats, float] | None:
    """Collect true, raw and shown joints ``[T, K, 2]`` of a person, and the height.

    Of the longest time in which both show the person, and of joints that are clear all the time;
    None where there is none.
    """
    rows = [match_people(recording.true_people, each) for each in (raw, shown)]
    first = 0 if recording.clip.kind == JUMP else round(_SETTLED_S * recording.clip.rate)
    both = _longest_run(
        [
            number
            for number, (one, other) in enumerate(zip(*rows, strict=True))
            if number >= first and person in one and person in other
        ]
    )
    if len(both) < max(first, 3):
        return None
    before, after = (
        np.array([each[number].keypoints[matched[number][person]] for number in both])
        for each, matched in zip((raw, shown), rows, strict=True)
    )
    people = [{one.identity: one for one in recording.truth[number]}[person] for number in both]
    clear = (before[..., 2] >= _CLEAR).all(axis=0)
    if not clear.any():
        return None
    true = np.array([one.keypoints[:, :2] for one in people])
    height = float(np.mean([one.box[3] - one.box[1] for one in people]))
    return true[:, clear], before[:, clear, :2], after[:, clear, :2], height


def _longest_run(numbers: Sequence[int]) -> Sequence[int]:
    """Return the longest part without gaps."""
    ends = [at for at, number in enumerate(numbers) if at and number != numbers[at - 1] + 1]
    bounds = [0, *ends, len(numbers)]
    return max((numbers[a:b] for a, b in itertools.pairwise(bounds)), key=len)
