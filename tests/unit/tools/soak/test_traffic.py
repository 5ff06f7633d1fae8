"""Load on a service: what counts as its capacity, and clients that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from poses import people
from tools.soak.context import Context, Plan
from tools.soak.endpoints import Endpoint
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture
from tools.soak.report import Report
from tools.soak.traffic import run_load
from tritonpose.errors import InvalidRequestError, ServerUnavailableError
from tritonpose.transport.messages import InferRequest, PoseResponse

SECONDS = 0.1


def loaded(answer: Callable[[InferRequest], PoseResponse]) -> Report:
    """The report of a short load on a service that answers so."""

    async def infer(request: InferRequest) -> PoseResponse:
        await asyncio.sleep(0)
        return answer(request)

    async def close() -> None:
        pass

    service: Any = SimpleNamespace(processes=dict)
    endpoint = Endpoint("endpoint", infer, close, takes_boxes=True)
    pictures, refused = [Picture(b"file", people(2))], [HostileFile("bomb", b"", refused=True)]
    plan = Plan(minutes=SECONDS / 60)
    report = Report("load")
    asyncio.run(
        run_load(Context(service, [endpoint], pictures, refused, plan, lambda _: None), report)
    )
    return report


def test_refused_requests_are_no_capacity() -> None:
    def refuse(_: InferRequest) -> PoseResponse:
        raise ServerUnavailableError("128 requests (max_in_flight) are already in flight")

    report = loaded(refuse)
    assert float(report.figures["capacity, requests per second"]) <= 1 / SECONDS
    assert report.violations == ["endpoint gave no answer after the load"]


def test_a_client_that_fails_is_a_violation() -> None:
    def answer(request: InferRequest) -> PoseResponse:
        if not request.image:
            raise InvalidRequestError("no image")
        if request.person_boxes is not None:
            raise LookupError("no boxes")
        return people(2)

    assert set(loaded(answer).violations) == {"a client failed: LookupError: no boxes"}
