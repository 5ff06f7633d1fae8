"""What becomes of requests is judged: by fronts that do what the test says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from poses import people
from tools.soak.askers import Askers
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture, differences, malformed
from tools.soak.tally import Outcome, Tally
from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ServerError,
    ServerUnavailableError,
)
from tritonpose.transport.messages import InferRequest, PoseResponse

KNOWN = people(2)
FULL = ServerUnavailableError("128 requests (max_in_flight) are already in flight")
LATE = ServerUnavailableError("the answer was not ready within 10 s (deadline_s)")


class StandIn:
    """A front."""

    name = "front"
    takes_boxes = True

    def __init__(self, answer: Callable[[InferRequest], PoseResponse] | Exception) -> None:
        self._answer = answer

    async def ask(self, request: InferRequest) -> PoseResponse:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer(request)

    async def close(self) -> None:
        pass


def judged(
    kind: str, answer: Callable[[InferRequest], PoseResponse] | Exception, **options: bool
) -> tuple[Outcome | None, list[str]]:
    tally = Tally()
    pictures = [Picture(b"file", KNOWN)]
    refused = [HostileFile("bomb", b"boom", refused=True)]
    askers = Askers(pictures, refused, tally, random.Random(0), **options)
    outcome = asyncio.run(getattr(askers, kind)(StandIn(answer)))
    return outcome, tally.violations


@pytest.mark.parametrize(
    ("kind", "answer", "outcome"),
    [
        ("good", lambda _: KNOWN, Outcome.ANSWERED),
        ("good", FULL, Outcome.REFUSED),
        ("given", FULL, Outcome.REFUSED),
        ("good", LATE, Outcome.EXPIRED),
        ("bad", InvalidRequestError("no image"), Outcome.REJECTED),
        ("bad", FULL, Outcome.REFUSED),
        ("cancelled", lambda _: KNOWN, Outcome.CANCELLED),
        ("cancelled", FULL, Outcome.CANCELLED),
    ],
)
def test_what_may_be(kind: str, answer: object, outcome: Outcome) -> None:
    assert judged(kind, answer) == (outcome, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        ("good", lambda _: people(3), "3 persons instead of 2"),
        ("good", lambda _: people(2, seed=1), "boxes differ"),
        ("good", InvalidRequestError("no image"), "InvalidRequestError: no image"),
        ("good", ServerError("fault"), "ServerError: fault"),
        ("good", DeadlineExceededError("late"), "DeadlineExceededError: late"),
        ("good", ServerUnavailableError("because"), "ServerUnavailableError: because"),
        ("given", lambda _: KNOWN, "instead of"),
        ("bad", lambda _: KNOWN, "bomb was not refused"),
        ("bad", ServerError("fault"), "ServerError: fault"),
    ],
)
def test_what_must_not_be(kind: str, answer: object, words: str) -> None:
    _, (violation,) = judged(kind, answer)  # type: ignore[arg-type]
    assert words in violation
    assert violation.startswith("front, ")


def test_where_processes_are_killed_every_refusal_may_be() -> None:
    answer = ServerUnavailableError("connection reset")
    assert judged("good", answer, any_refusal=True) == (Outcome.REFUSED, [])


def test_own_boxes_come_back() -> None:
    def answer(request: InferRequest) -> PoseResponse:
        boxes = request.person_boxes
        assert boxes is not None
        return replace(people(1), boxes=boxes)

    assert judged("given", answer) == (Outcome.ANSWERED, [])


def test_rounding_makes_no_difference_and_all_else_does() -> None:
    near = replace(KNOWN, keypoints=KNOWN.keypoints + np.float32(1e-3))
    assert differences(near, KNOWN) is None
    far = replace(KNOWN, keypoints=KNOWN.keypoints + np.float32(0.5))
    assert "keypoints differ" in (differences(far, KNOWN) or "")
    lost = replace(KNOWN, kpt_scores=KNOWN.kpt_scores * np.float32(np.nan))
    assert "kpt_scores differ" in (differences(lost, KNOWN) or "")


def test_malformed_answers() -> None:
    assert malformed(KNOWN) is None
    assert malformed(people(0)) is None
    nan = replace(KNOWN, keypoints=KNOWN.keypoints * np.float32(np.nan))
    assert malformed(nan) == "numbers that are not finite"
    assert malformed(replace(KNOWN, boxes=-KNOWN.boxes)) == "a box without area or beyond the image"
    upside_down = replace(KNOWN, det_scores=KNOWN.det_scores[::-1])
    assert malformed(upside_down) == "persons out of order"
