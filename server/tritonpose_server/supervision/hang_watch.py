"""Notices that a running tritonserver, or one of its models, lives but no longer responds.

Completed requests show that a model works. A model that has completed none for a while gets a
probe; it counts as hanging only if that gets no response, either, while the model's processes
hardly compute, nor wait for a core. So a model that is merely slow or busy is left alone, and so is
a server that gets no core because others keep the machine busy.
"""

from __future__ import annotations

import http
import time
from collections.abc import Callable

from tritonpose_server.supervision.triton_api import (
    PendingResponse,
    Probe,
    TritonApi,
    probe_for,
)

ROUNDS = 4
"""Rounds of checks within the time after which a server counts as hanging.

Rounds are counted, not seconds: while the whole machine stood still, no process could respond.
"""

SHORTEST_IDLE, LONGEST_IDLE = 2, 6
"""Rounds without a completed request before a probe is sent.

They double with each answered probe, so that an idle service stays quiet, and fall back once the
model completes a request of a client, or any model fails one.
"""

# Share of one core's time from which on a model computes, or a process is kept from it.
_BUSY = 0.1

# Any other response shows that the model works.
_BROKEN = (PendingResponse.LOST, http.HTTPStatus.INTERNAL_SERVER_ERROR)


class HangWatch:
    """Watches one server, with ``pause`` seconds between two rounds of checks.

    ``effort`` returns the seconds for which a model's processes have computed so far, or waited for
    a core to do so; ``waited`` those for which tritonserver has waited. ``timeout`` is the seconds
    without a response after which the server or a model hangs; ``clock`` gives the time in seconds.
    """

    def __init__(
        self,
        api: TritonApi,
        effort: Callable[[str], float],
        waited: Callable[[], float],
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pause = timeout / ROUNDS
        self._api = api
        self._effort = effort
        self._waited = waited
        self._waited_before = 0.0
        self._clock = clock
        self._next_round = clock() + self.pause
        self._silent = 0
        self._failed = 0
        self._models: dict[str, _Model] = {}

    def fault(self) -> str | None:
        """Return what hangs, None if nothing does; sends requests only when a round is due."""
        if self._clock() < self._next_round:
            return None
        self._next_round = self._clock() + self.pause
        counts = self._api.request_counts()
        waited, before = self._waited(), self._waited_before
        self._waited_before = waited
        if counts is None:
            self._silent += waited - before < _BUSY * self.pause
            return "it does not answer" if self._silent >= ROUNDS else None
        self._silent = 0
        for name in self._models.keys() - counts.keys():
            self._models.pop(name).close()
        failed = sum(count.failed for count in counts.values())
        if failed != self._failed:
            # Possibly because of a model that hangs: look sooner.
            self._failed = failed
            for model in self._models.values():
                model.expect_work()
        hanging = [
            name
            for name, count in counts.items()
            if self._model(name).hangs(count.succeeded, self._effort(name))
        ]
        return f"model {hanging[0]} does not answer" if hanging else None

    def close(self) -> None:
        """Close the connections of all probes."""
        for model in self._models.values():
            model.close()

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            config = self._api.config(name)
            probe = probe_for(config) if config else None
            self._models[name] = _Model(self._api, probe, busy_seconds=_BUSY * self.pause)
        return self._models[name]


class _Model:
    """Watches one model."""

    def __init__(self, api: TritonApi, probe: Probe | None, busy_seconds: float) -> None:
        self._api = api
        self._probe = probe
        self._busy_seconds = busy_seconds
        self._effort = 0.0
        self._succeeded = 0
        self._idle = 0
        self._idle_before_probe = SHORTEST_IDLE
        self._missed = 0
        self._pending: PendingResponse | None = None
        # A model that can't answer the probe at all must not be taken for a broken one.
        self._has_answered = False

    def expect_work(self) -> None:
        """Send the next probe soon."""
        self._idle_before_probe = SHORTEST_IDLE

    def hangs(self, succeeded: int, effort: float) -> bool:
        """Update with its successes and effort so far; return whether the model hangs."""
        computes = effort - self._effort > self._busy_seconds
        self._effort = effort
        status = self._pending.status() if self._pending else None
        answered = status is not None and status not in _BROKEN
        if status is not None:
            self.close()
            self._has_answered |= status == http.HTTPStatus.OK
        if answered or succeeded != self._succeeded:
            longer = min(2 * self._idle_before_probe, LONGEST_IDLE)
            self._idle_before_probe = longer if answered else SHORTEST_IDLE
            self._succeeded = succeeded
            self._idle = self._missed = 0
        elif self._probe is None:
            pass
        elif self._idle < self._idle_before_probe:
            self._idle += 1
        else:
            # Of a process that gets no core in time, Triton says that it gives no sign of life.
            silent = self._pending is not None or status == PendingResponse.LOST
            failed = status is not None and status != PendingResponse.LOST and self._has_answered
            self._missed += failed or (silent and not computes)
            if self._pending is None:
                self._pending = self._api.send(self._probe)
        return self._missed >= ROUNDS

    def close(self) -> None:
        """Give up the probe under way."""
        if self._pending:
            self._pending.close()
            self._pending = None
