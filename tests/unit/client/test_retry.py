"""Retries and the choice among servers: no network, and no clock but the tests' own."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest

from tritonpose.errors import (
    InvalidRequestError,
    ServerError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose.transport.retry import LONGEST_PAUSE_SECONDS, Attempts, pause_before
from tritonpose.transport.retrying import AsyncRetryingTransport, RetryingTransport
from tritonpose.transport.rotation import COOL_DOWN_SECONDS, Rotation

REQUEST = InferRequest(image=b"x")
REFUSAL = ServerUnavailableError("full")


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def longest(_low: float, high: float) -> float:
    return high


def ask_all(attempts: Attempts, clock: Clock) -> list[tuple[int, float]]:
    """Lets every server refuse until the attempts are over: (server, pause after it)."""
    asked: list[tuple[int, float]] = []
    while True:
        server = attempts.server
        try:
            pause = attempts.failed(REFUSAL)
        except ServerUnavailableError:
            return [*asked, (server, -1.0)]
        asked.append((server, pause))
        clock.now += pause


def test_pauses_grow_up_to_a_limit_and_are_drawn_from_all_of_it() -> None:
    assert [pause_before(retry, longest) for retry in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert pause_before(10_000, longest) == LONGEST_PAUSE_SECONDS
    assert pause_before(3, lambda low, _high: low) == 0
    assert len({pause_before(3) for _ in range(10)}) > 1


def test_all_servers_are_asked_before_a_pause() -> None:
    clock = Clock()
    attempts = Attempts(Rotation(3, clock), retries=2, timeout=60, clock=clock, draw=longest)
    asked = ask_all(attempts, clock)
    assert [pause for _, pause in asked] == [0, 0, 0.1, 0, 0, 0.2, 0, 0, -1]
    assert all({server for server, _ in asked[k : k + 3]} == {0, 1, 2} for k in (0, 3, 6))


def test_no_retries_means_that_each_server_is_asked_once() -> None:
    clock = Clock()
    for count in (1, 2):
        attempts = Attempts(Rotation(count, clock), 0, 60, clock, longest)
        assert len(ask_all(attempts, clock)) == count


def test_attempts_end_before_the_timeout() -> None:
    clock = Clock()
    attempts = Attempts(Rotation(1, clock), retries=1000, timeout=5, clock=clock, draw=longest)
    asked = ask_all(attempts, clock)
    # 0.1 + 0.2 + 0.4 + 0.8 + 1.6 fit into 5 s, and 2 more don't.
    assert [pause for _, pause in asked] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, -1])
    assert attempts.seconds_left() == pytest.approx(1.9)


def test_the_last_error_says_that_no_server_was_left() -> None:
    with pytest.raises(ServerUnavailableError, match=r"^full$"):
        Attempts(Rotation(1), 0, 60).failed(REFUSAL)
    attempts = Attempts(Rotation(2), 0, 60)
    attempts.failed(REFUSAL)
    with pytest.raises(ServerUnavailableError, match=r"none of 2 servers.*full"):
        attempts.failed(REFUSAL)


def test_round_robin_passes_over_a_cooling_server() -> None:
    clock = Clock()
    rotation = Rotation(3, clock)
    assert [rotation.order() for _ in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
    rotation.failed(1)
    firsts = [rotation.order()[0] for _ in range(100)]
    assert {server: firsts.count(server) for server in range(3)} == {0: 50, 1: 0, 2: 50}
    assert rotation.order()[-1] == 1


def test_one_request_at_a_time_tries_a_server_after_its_cool_down() -> None:
    clock = Clock()
    rotation = Rotation(2, clock)
    rotation.failed(0)
    clock.now += COOL_DOWN_SECONDS
    assert [rotation.order()[0] for _ in range(20)].count(0) == 1
    rotation.succeeded(0)
    assert [rotation.order()[0] for _ in range(20)].count(0) == 10


def test_servers_that_all_cool_down_are_asked_all_the_same() -> None:
    clock = Clock()
    rotation = Rotation(2, clock)
    rotation.failed(1)
    clock.now += 0.5
    rotation.failed(0)
    assert rotation.order() == [1, 0]


class StandIn:
    """A server, of both kinds, that fails as often as it is told and then answers."""

    def __init__(self, *errors: TritonPoseError, always: TritonPoseError | None = None) -> None:
        self.errors = list(errors)
        self.always = always
        self.timeouts: list[float] = []
        self.closed = 0

    def ask(self, timeout: float) -> PoseResponse:
        self.timeouts.append(timeout)
        if self.always or self.errors:
            raise self.always or self.errors.pop(0)
        empty = np.zeros(0, np.float32)
        return PoseResponse(empty.reshape(0, 4), empty, empty.reshape(0, 17, 3), empty)


class Sync(StandIn):
    def infer(self, _request: InferRequest, timeout: float) -> PoseResponse:
        return self.ask(timeout)

    def close(self) -> None:
        self.closed += 1


class Async(StandIn):
    async def infer(self, _request: InferRequest, timeout: float) -> PoseResponse:
        return self.ask(timeout)

    async def is_ready(self, timeout: float) -> bool:
        return timeout > 0 and self.always is None

    async def close(self) -> None:
        self.closed += 1


class SyncTwin:
    """Runs one of the transports, so that both take the same tests."""

    stand_in = Sync

    def __init__(self, *servers: Any, timeout: float = 60.0, retries: int = 4) -> None:
        self.transport = RetryingTransport(servers, timeout, retries)

    def infer(self) -> PoseResponse:
        return self.transport.infer(REQUEST)

    def close(self) -> None:
        self.transport.close()


class AsyncTwin:
    stand_in = Async

    def __init__(self, *servers: Any, timeout: float = 60.0, retries: int = 4) -> None:
        self.transport = AsyncRetryingTransport(servers, timeout, retries)

    def infer(self) -> PoseResponse:
        return asyncio.run(self.transport.infer(REQUEST))

    def close(self) -> None:
        asyncio.run(self.transport.close())


TWINS = pytest.mark.parametrize("twin", [SyncTwin, AsyncTwin])
Twin = type[SyncTwin] | type[AsyncTwin]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were slept, without sleeping them."""
    slept: list[float] = []

    async def async_sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("tritonpose.transport.retrying.time.sleep", slept.append)
    monkeypatch.setattr("tritonpose.transport.retrying.asyncio.sleep", async_sleep)
    return slept


@TWINS
def test_a_server_that_is_full_for_a_moment_costs_no_answer(
    twin: Twin, pauses: list[float]
) -> None:
    server = twin.stand_in(REFUSAL, REFUSAL)
    assert len(twin(server).infer().boxes) == 0
    assert len(server.timeouts) == 3
    assert len(pauses) == 2


@TWINS
def test_retries_end(twin: Twin, pauses: list[float]) -> None:
    server = twin.stand_in(always=REFUSAL)
    with pytest.raises(ServerUnavailableError, match="full"):
        twin(server, retries=3).infer()
    assert (len(server.timeouts), len(pauses)) == (4, 3)


@TWINS
@pytest.mark.parametrize("error", [InvalidRequestError("bad"), ServerError("broken")])
def test_other_errors_are_not_retried(twin: Twin, error: TritonPoseError) -> None:
    first, second = twin.stand_in(error), twin.stand_in()
    with pytest.raises(type(error)):
        twin(first, second).infer()
    assert (len(first.timeouts), len(second.timeouts)) == (1, 0)


@TWINS
@pytest.mark.parametrize("kind", [InvalidRequestError, ServerError, ServerUnavailableError])
def test_errors_say_which_request_failed(twin: Twin, kind: type[TritonPoseError]) -> None:
    with pytest.raises(kind) as caught:
        twin(twin.stand_in(always=kind("no")), retries=0).infer()
    assert caught.value.request_id == REQUEST.request_id
    # In the message where the server's log has more to say.
    assert (REQUEST.request_id in str(caught.value)) == (kind is ServerError)


@TWINS
def test_attempts_share_one_timeout(twin: Twin) -> None:
    server = twin.stand_in(REFUSAL, REFUSAL, REFUSAL)
    twin(server, timeout=30).infer()
    assert server.timeouts == sorted(server.timeouts, reverse=True)
    assert len(set(server.timeouts)) == 4
    assert 20 < server.timeouts[-1] < server.timeouts[0] <= 30


@TWINS
def test_another_server_answers_at_once(twin: Twin, pauses: list[float]) -> None:
    gone, well = twin.stand_in(always=REFUSAL), twin.stand_in()
    client = twin(gone, well)
    for _ in range(10):
        client.infer()
    assert (len(gone.timeouts), len(well.timeouts)) == (1, 10)
    assert sum(pauses) == 0


@TWINS
def test_requests_are_spread(twin: Twin) -> None:
    servers = [twin.stand_in() for _ in range(3)]
    client = twin(*servers)
    for _ in range(12):
        client.infer()
    assert [len(server.timeouts) for server in servers] == [4, 4, 4]


@TWINS
def test_closing_twice_closes_once_and_then_nothing_is_sent(
    twin: Twin,
) -> None:
    servers = [twin.stand_in(), twin.stand_in()]
    client = twin(*servers)
    client.close()
    client.close()
    assert [server.closed for server in servers] == [1, 1]
    with pytest.raises(RuntimeError, match="closed"):
        client.infer()
    assert [server.timeouts for server in servers] == [[], []]


def test_many_threads_are_spread_evenly() -> None:
    servers = [Sync() for _ in range(4)]
    transport = RetryingTransport(servers, 60.0, 0)
    threads = [
        threading.Thread(target=lambda: [transport.infer(REQUEST) for _ in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(server.timeouts) for server in servers] == [100] * 4


def test_a_pause_leaves_the_event_loop_free() -> None:
    async def ticks_during_retries() -> int:
        transport = AsyncRetryingTransport([Async(*[REFUSAL] * 3)], 60.0, 4)
        task = asyncio.create_task(transport.infer(REQUEST))
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        return count

    started = time.monotonic()
    assert asyncio.run(ticks_during_retries()) > 10
    assert time.monotonic() - started < 30


def test_a_transport_is_ready_when_one_of_its_servers_is() -> None:
    def ready(*servers: Async) -> bool:
        return asyncio.run(AsyncRetryingTransport(servers, 60.0, 4).is_ready(1.0))

    assert ready(Async(always=REFUSAL), Async())
    assert not ready(Async(always=REFUSAL), Async(always=REFUSAL))
