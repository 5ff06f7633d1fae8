"""Notices that a running tritonserver, or one of its models, lives but no longer answers.

Whether a model works is seen from the requests that it answers. One that has answered none for a
while gets a probe; only where that goes unanswered, too, while the model's processes hardly
compute, is it taken to hang. So a model that is merely slow or busy is left alone.
"""

from __future__ import annotations

import http
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tritonpose_server.supervision.probes import Probe, probe_for

ROUNDS = 4
"""Looks at the server within the time after which it is taken to hang.

They are counted, not the seconds: where the whole machine stood still, nobody could answer.
"""

# Without an answer, before a probe is sent.
_IDLE_ROUNDS = 2

# Share of one core's time from which on a model computes.
_BUSY = 0.1

# Nobody to answer, or "internal error"; all others are answers of a model that works.
_NOBODY = 0
_BROKEN = (_NOBODY, http.HTTPStatus.INTERNAL_SERVER_ERROR)


class Answer(Protocol):
    """The answer to a probe; see `tritonpose_server.supervision.triton_api.PendingAnswer`."""

    def status(self) -> int | None:
        """Its HTTP status, 0 if there will be none, None if there is none yet."""

    def close(self) -> None:
        """Give it up."""


class Api(Protocol):
    """What is asked of Triton; see `tritonpose_server.supervision.triton_api.TritonApi`."""

    def successes(self) -> Mapping[str, int] | None:
        """Requests answered well so far, by model."""

    def config(self, model: str) -> Mapping[str, Any] | None:
        """A model's configuration."""

    def send(self, probe: Probe) -> Answer:
        """Send a request."""


class HangWatch:
    """Watches one server.

    Args:
        api: What is asked of it.
        cpu_seconds: The processor time that a model's processes have used so far.
        timeout: Seconds without an answer after which it hangs.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        api: Api,
        cpu_seconds: Callable[[str], float],
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._cpu_seconds = cpu_seconds
        self._pause = timeout / ROUNDS
        self._clock = clock
        self._next_round = clock() + self._pause
        self._silent = 0
        self._models: dict[str, _Model] = {}

    def fault(self) -> str | None:
        """What hangs, None while nothing does; looks at the server only when it is time to."""
        if self._clock() < self._next_round:
            return None
        self._next_round = self._clock() + self._pause
        counts = self._api.successes()
        if counts is None:
            self._silent += 1
            return "it does not answer" if self._silent >= ROUNDS else None
        self._silent = 0
        for name in self._models.keys() - counts.keys():
            self._models.pop(name).close()
        hanging = [
            name
            for name, count in counts.items()
            if self._model(name).hangs(count, self._cpu_seconds(name))
        ]
        return f"model {hanging[0]} does not answer" if hanging else None

    def close(self) -> None:
        """Forget the server."""
        for model in self._models.values():
            model.close()

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            config = self._api.config(name)
            probe = probe_for(config) if config else None
            self._models[name] = _Model(self._api, probe, busy_seconds=_BUSY * self._pause)
        return self._models[name]


class _Model:
    """Watches one model."""

    def __init__(self, api: Api, probe: Probe | None, busy_seconds: float) -> None:
        self._api = api
        self._probe = probe
        self._busy_seconds = busy_seconds
        self._cpu_seconds = 0.0
        self._successes = 0
        self._idle = 0
        self._missed = 0
        self._pending: Answer | None = None
        # A model that can't answer the probe at all must not be taken for a broken one.
        self._has_answered = False

    def hangs(self, successes: int, cpu_seconds: float) -> bool:
        """Look at it once more; return whether it hangs.

        Args:
            successes: Requests that it has answered well so far.
            cpu_seconds: The processor time that it has used so far.
        """
        computes = cpu_seconds - self._cpu_seconds > self._busy_seconds
        self._cpu_seconds = cpu_seconds
        status = self._pending.status() if self._pending else None
        broken = status in _BROKEN
        if status is not None:
            self.close()
            self._has_answered |= status == http.HTTPStatus.OK
        if successes != self._successes or (status is not None and not broken):
            self._successes = successes
            self._idle = self._missed = 0
        elif self._probe is None:
            pass
        elif self._idle < _IDLE_ROUNDS:
            self._idle += 1
        else:
            failed = status == _NOBODY or (broken and self._has_answered)
            self._missed += failed or bool(self._pending and not computes)
            if self._pending is None:
                self._pending = self._api.send(self._probe)
        return self._missed >= ROUNDS

    def close(self) -> None:
        """Give up what is under way."""
        if self._pending:
            self._pending.close()
            self._pending = None
