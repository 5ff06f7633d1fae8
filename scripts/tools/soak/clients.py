"""Clients that send one request of a kind each, and check its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence

import numpy as np

from tools.soak.endpoints import Endpoint
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture, differences, malformed
from tools.soak.report import Outcome, Report
from tritonpose.errors import InvalidRequestError, ServerUnavailableError, TritonPoseError
from tritonpose.transport.messages import InferRequest, PoseResponse

# Parts of a full service's messages: docs/run/server.md.
_EXPIRIES = ("was not ready within", "became free for an image")
_REFUSALS = (*_EXPIRIES, "already in flight", "are open already")

_HANG_UP_SECONDS = 0.2


class Clients:
    """Clients that share a seed: each sends one request, and reports its outcome.

    With ``any_refusal``, as when processes are killed, a request may be refused for any retryable
    reason; otherwise only because the service is full.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        refused: Sequence[HostileFile],
        report: Report,
        seed: int = 0,
        *,
        any_refusal: bool = False,
    ) -> None:
        self._pictures = pictures
        self._refused = refused
        self._report = report
        self._rng = random.Random(seed)
        self._any_refusal = any_refusal

    async def known(self, endpoint: Endpoint) -> Outcome | None:
        """Send a picture whose answer is known."""
        picture = self._rng.choice(self._pictures)
        request = InferRequest(image=picture.data)
        return await self._send(
            endpoint, "good", request, lambda answer: differences(answer, picture.answer)
        )

    async def own_box(self, endpoint: Endpoint) -> Outcome | None:
        """Send a box that no other client sends, so that a swapped answer shows."""
        if not endpoint.takes_boxes:
            return await self.known(endpoint)
        picture = self._rng.choice(self._pictures)
        x, y = self._rng.uniform(0, 40), self._rng.uniform(0, 40)
        box = np.array([[x, y, x + self._rng.uniform(40, 90), y + 90]], np.float32)

        def check(answer: PoseResponse) -> str | None:
            if not np.array_equal(answer.boxes, box):
                return f"boxes {answer.boxes.tolist()} instead of {box.tolist()}"
            return None if np.isfinite(answer.keypoints).all() else "keypoints are not finite"

        request = InferRequest(image=picture.data, person_boxes=box)
        return await self._send(endpoint, "own box", request, check)

    async def refused(self, endpoint: Endpoint) -> Outcome | None:
        """Send a file that must be refused."""
        file = self._rng.choice(self._refused)
        request = InferRequest(image=file.data)
        return await self._send(
            endpoint, "bad", request, lambda _: f"{file.name} was not refused", may_reject=True
        )

    async def damaged(self, endpoint: Endpoint, data: bytes, name: str) -> Outcome | None:
        """Send a damaged file, which may or may not be readable."""

        def check(answer: PoseResponse) -> str | None:
            wrong = malformed(answer)
            return f"{name}: {wrong}" if wrong else None

        request = InferRequest(image=data)
        return await self._send(endpoint, "damaged", request, check, may_reject=True)

    async def hang_up(self, endpoint: Endpoint) -> Outcome | None:
        """Cancel a request at a random moment."""
        request = InferRequest(image=self._rng.choice(self._pictures).data)
        started = time.monotonic()
        # The answer, or a refusal, may come earlier.
        with contextlib.suppress(TimeoutError, TritonPoseError):
            await asyncio.wait_for(endpoint.infer(request), self._rng.uniform(0, _HANG_UP_SECONDS))
        seconds = time.monotonic() - started
        self._report.add(endpoint.name, "hung up", Outcome.CANCELLED, seconds)
        return Outcome.CANCELLED

    async def _send(
        self,
        endpoint: Endpoint,
        kind: str,
        request: InferRequest,
        check: Callable[[PoseResponse], str | None],
        *,
        may_reject: bool = False,
    ) -> Outcome | None:
        """Send a request and check its answer; None for an error that must not be."""
        started = time.monotonic()
        outcome: Outcome | None = None
        problem: str | None = None
        try:
            answer = await endpoint.infer(request)
            outcome, problem = Outcome.ANSWERED, check(answer)
        except TritonPoseError as error:
            message = str(error)
            allowed = False
            if isinstance(error, InvalidRequestError):
                outcome, allowed = Outcome.REJECTED, may_reject
            elif isinstance(error, ServerUnavailableError):
                late = any(reason in message for reason in _EXPIRIES)
                outcome = Outcome.EXPIRED if late else Outcome.REFUSED
                allowed = self._any_refusal or any(reason in message for reason in _REFUSALS)
            problem = None if allowed else f"{type(error).__name__}: {message}"[:300]
        seconds = time.monotonic() - started
        if problem is not None:
            self._report.violate(f"{endpoint.name}, {kind}, after {seconds:.1f} s: {problem}")
        elif outcome is not None:
            self._report.add(endpoint.name, kind, outcome, seconds)
        return outcome
