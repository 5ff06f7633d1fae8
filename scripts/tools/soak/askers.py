"""One request of each kind, and whether what became of it is right."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from tools.soak.fronts import Front
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture, differences, malformed
from tools.soak.tally import Outcome, Tally
from tritonpose.errors import InvalidRequestError, ServerUnavailableError, TritonPoseError
from tritonpose.transport.messages import InferRequest, PoseResponse

# What a full service says: docs/operations.md.
_EXPIRIES = ("was not ready within", "became free for an image")
_REFUSALS = (
    *_EXPIRIES,
    "already in flight",
    "already under way",
)

_HANG_UP_SECONDS = 0.2

# What is wrong with an answer, None where nothing is.
_Check = Callable[[PoseResponse], str | None]


class Askers:
    """Asks, one request at a time, and tells the tally.

    Args:
        pictures: Images whose answers are known.
        refused: Files that must be refused.
        tally: Told what became of each request.
        rng: Chooses.
        any_refusal: Whether a request may be refused for any reason that says "try again", as
            when processes are killed; otherwise only because the service is full.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        refused: Sequence[HostileFile],
        tally: Tally,
        rng: random.Random,
        *,
        any_refusal: bool = False,
    ) -> None:
        self._pictures = pictures
        self._refused = refused
        self._tally = tally
        self._rng = rng
        self._any_refusal = any_refusal

    async def good(self, front: Front) -> Outcome | None:
        """Ask about a known picture."""
        picture = self._rng.choice(self._pictures)

        def check(answer: PoseResponse) -> str | None:
            return differences(answer, picture.answer)

        request = InferRequest(image=picture.data)
        return await self._ask(front, "good", request, check)

    async def given(self, front: Front) -> Outcome | None:
        """Ask about a box that nobody else asks about: an answer to somebody else shows."""
        if not front.takes_boxes:
            return await self.good(front)
        picture = self._rng.choice(self._pictures)
        x, y = self._rng.uniform(0, 40), self._rng.uniform(0, 40)
        box = np.array([[x, y, x + self._rng.uniform(40, 90), y + 90]], np.float32)

        def check(answer: PoseResponse) -> str | None:
            if not np.array_equal(answer.boxes, box):
                return f"boxes {answer.boxes.tolist()} instead of {box.tolist()}"
            return None if np.isfinite(answer.keypoints).all() else "keypoints are not finite"

        request = InferRequest(image=picture.data, person_boxes=box)
        return await self._ask(front, "own box", request, check)

    async def bad(self, front: Front) -> Outcome | None:
        """Send a file that must be refused."""
        file = self._rng.choice(self._refused)

        def check(_answer: PoseResponse) -> str:
            return f"{file.name} was not refused"

        return await self._ask(front, "bad", InferRequest(image=file.data), check, may_reject=True)

    async def damaged(self, front: Front, data: bytes, name: str) -> Outcome | None:
        """Send a damaged file, which may or may not be readable."""

        def check(answer: PoseResponse) -> str | None:
            wrong = malformed(answer)
            return f"{name}: {wrong}" if wrong else None

        request = InferRequest(image=data)
        return await self._ask(front, "damaged", request, check, may_reject=True)

    async def cancelled(self, front: Front) -> Outcome | None:
        """Hang up at a random moment."""
        picture = self._rng.choice(self._pictures)
        started = time.monotonic()
        task = asyncio.ensure_future(front.ask(InferRequest(image=picture.data)))
        await asyncio.sleep(self._rng.uniform(0, _HANG_UP_SECONDS))
        task.cancel()
        # Whatever came before that is right.
        with contextlib.suppress(asyncio.CancelledError, TritonPoseError):
            await task
        seconds = time.monotonic() - started
        self._tally.add(front.name, "hung up", Outcome.CANCELLED, seconds)
        return Outcome.CANCELLED

    async def _ask(
        self,
        front: Front,
        kind: str,
        request: InferRequest,
        check: _Check,
        *,
        may_reject: bool = False,
    ) -> Outcome | None:
        started = time.monotonic()
        outcome, problem = await self._outcome(front.ask(request), check, may_reject=may_reject)
        seconds = time.monotonic() - started
        if outcome is None or problem is not None:
            self._tally.violate(f"{front.name}, {kind}, after {seconds:.1f} s: {problem}")
        else:
            self._tally.add(front.name, kind, outcome, seconds)
        return outcome

    async def _outcome(
        self, asked: Awaitable[PoseResponse], check: _Check, *, may_reject: bool
    ) -> tuple[Outcome | None, str | None]:
        """How a request ended, and what is wrong with that."""
        try:
            answer = await asked
        except ServerUnavailableError as error:
            known = any(reason in str(error) for reason in _REFUSALS)
            late = any(reason in str(error) for reason in _EXPIRIES)
            outcome = Outcome.EXPIRED if late else Outcome.REFUSED
            return outcome, None if known or self._any_refusal else _describe(error)
        except InvalidRequestError as error:
            return Outcome.REJECTED, None if may_reject else _describe(error)
        except TritonPoseError as error:
            return None, _describe(error)
        return Outcome.ANSWERED, check(answer)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
