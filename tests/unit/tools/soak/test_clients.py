"""Clients judge the outcomes of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from poses import people
from tools.soak.clients import Clients
from tools.soak.endpoints import Endpoint
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture, differences, malformed
from tools.soak.report import Outcome, Report
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


Answer = Callable[[InferRequest], PoseResponse] | Exception


def judged(kind: str, answer: Answer, **options: bool) -> tuple[Outcome | None, list[str]]:
    """Send one request to an endpoint that answers so; returns its outcome and violations."""

    async def infer(request: InferRequest) -> PoseResponse:
        if isinstance(answer, Exception):
            raise answer
        return answer(request)

    async def close() -> None:
        pass

    endpoint = Endpoint("endpoint", infer, close, takes_boxes=True)
    report = Report("test")
    refused = [HostileFile("bomb", b"boom", refused=True)]
    clients = Clients([Picture(b"file", KNOWN)], refused, report, **options)
    outcome = asyncio.run(getattr(clients, kind)(endpoint))
    assert report.count(Outcome.ANSWERED) == (outcome == Outcome.ANSWERED and not report.violations)
    return outcome, report.violations


@pytest.mark.parametrize(
    ("kind", "answer", "outcome"),
    [
        ("known", lambda _: KNOWN, Outcome.ANSWERED),
        ("known", FULL, Outcome.REFUSED),
        ("own_box", FULL, Outcome.REFUSED),
        ("known", LATE, Outcome.EXPIRED),
        ("refused", InvalidRequestError("no image"), Outcome.REJECTED),
        ("refused", FULL, Outcome.REFUSED),
        ("hang_up", lambda _: KNOWN, Outcome.CANCELLED),
        ("hang_up", FULL, Outcome.CANCELLED),
    ],
)
def test_allowed_outcomes(kind: str, answer: Answer, outcome: Outcome) -> None:
    assert judged(kind, answer) == (outcome, [])


@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        ("known", lambda _: people(3), "3 people instead of 2"),
        ("known", lambda _: people(2, seed=1), "boxes differ"),
        ("known", InvalidRequestError("no image"), "InvalidRequestError: no image"),
        ("known", ServerError("fault"), "ServerError: fault"),
        ("known", DeadlineExceededError("late"), "DeadlineExceededError: late"),
        ("known", ServerUnavailableError("because"), "ServerUnavailableError: because"),
        ("own_box", lambda _: KNOWN, "instead of"),
        ("refused", lambda _: KNOWN, "bomb was not refused"),
        ("refused", ServerError("fault"), "ServerError: fault"),
    ],
)
def test_violations(kind: str, answer: Answer, words: str) -> None:
    _, (violation,) = judged(kind, answer)
    assert words in violation
    assert violation.startswith("endpoint, ")


def test_any_refusal_is_allowed_while_processes_are_killed() -> None:
    answer = ServerUnavailableError("connection reset")
    assert judged("known", answer, any_refusal=True) == (Outcome.REFUSED, [])


def test_own_boxes_come_back() -> None:
    def answer(request: InferRequest) -> PoseResponse:
        boxes = request.person_boxes
        assert boxes is not None
        return replace(people(1), boxes=boxes)

    assert judged("own_box", answer) == (Outcome.ANSWERED, [])


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
    assert malformed(upside_down) == "people out of order"
