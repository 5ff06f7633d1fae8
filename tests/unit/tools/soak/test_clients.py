"""Clients judge the outcomes of requests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from poses import people
from tools.soak.clients import Clients
from tools.soak.endpoints import Endpoint
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture
from tools.soak.report import Outcome, Report
from tritonpose.errors import InvalidRequestError, ServerError, ServerUnavailableError
from tritonpose.transport.messages import InferRequest, PoseResponse

KNOWN = people(2)
FULL = ServerUnavailableError("128 requests (max_in_flight) are already in flight")
LATE = ServerUnavailableError("the answer was not ready within 10 s (deadline_s)")


def moved(pixels: float) -> PoseResponse:
    return replace(KNOWN, keypoints=KNOWN.keypoints + np.float32(pixels))


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        ("known", KNOWN, Outcome.ANSWERED),
        ("known", FULL, Outcome.REFUSED),
        ("known", LATE, Outcome.EXPIRED),
        ("refused", InvalidRequestError("no image"), Outcome.REJECTED),
        ("hang_up", KNOWN, Outcome.CANCELLED),
        ("known", people(3), "3 people instead of 2"),
        ("known", people(2, seed=1), "boxes differ"),
        ("known", moved(1e-3), Outcome.ANSWERED),
        ("known", moved(0.5), "keypoints differ"),
        ("known", moved(np.nan), "keypoints differ"),
        ("known", ServerError("fault"), "ServerError: fault"),
        ("known", ServerUnavailableError("because"), "ServerUnavailableError: because"),
        ("own_box", KNOWN, "instead of"),
        ("refused", KNOWN, "bomb was not refused"),
    ],
)
def test_outcomes_that_may_be_and_violations(
    kind: str, answer: PoseResponse | Exception, expected: Outcome | str
) -> None:
    async def infer(_: InferRequest) -> PoseResponse:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close() -> None:
        pass

    endpoint = Endpoint("endpoint", infer, close, takes_boxes=True)
    report = Report("test")
    refused = [HostileFile("bomb", b"boom", refused=True)]
    clients = Clients([Picture(b"file", KNOWN)], refused, report)
    outcome = asyncio.run(getattr(clients, kind)(endpoint))
    if isinstance(expected, Outcome):
        assert (outcome, report.violations) == (expected, [])
    else:
        (violation,) = report.violations
        assert violation.startswith("endpoint, ")
        assert expected in violation
