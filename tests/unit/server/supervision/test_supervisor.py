"""What the supervisor of ``tritonpose serve`` does when something ends."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tritonpose_server.supervision.supervisor import StopSignals, supervise


class Rest:
    def __init__(self, looks: list[Callable[[], None]]) -> None:
        self._looks = iter(looks)

    def ensure_running(self) -> None:
        next(self._looks)()


class Triton:
    def __init__(self, *statuses: int | None) -> None:
        self._statuses = iter(statuses)
        self.restarts = 0

    def poll(self) -> int | None:
        return next(self._statuses, None)

    def restart(self) -> None:
        self.restarts += 1


def receive(number: signal.Signals) -> Callable[[], None]:
    """What a signal does, without the signal.

    OpenVINO, which other tests load, lets the kernel store more registers with a signal than
    faulthandler, which pytest switches on, has stack for: then any signal ends in a crash.
    """

    def call() -> None:
        handler = signal.getsignal(number)
        assert callable(handler)
        handler(number, None)

    return call


def nothing() -> None:
    pass


def test_signals_end_it() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        with StopSignals() as signals:
            assert supervise(Triton(), Rest([nothing, receive(number)]), signals) is None
            assert signals.received
            assert not signals.repeated
            receive(number)()
            assert signals.repeated
        assert signal.getsignal(number) == handler


def test_a_guardian_that_is_killed_is_replaced() -> None:
    triton = Triton(None, -signal.SIGKILL, None)
    with StopSignals() as signals:
        assert supervise(triton, Rest([nothing, nothing, receive(signal.SIGTERM)]), signals) is None
    assert triton.restarts == 1


def test_a_triton_that_was_ended_ends_it() -> None:
    triton = Triton(None, 143)
    with StopSignals() as signals:
        assert supervise(triton, Rest([nothing]), signals) == 143
    assert triton.restarts == 0
