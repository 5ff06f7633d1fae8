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
from tritonpose.transport import AsyncTransport, Transport
from tritonpose.transport.failover import (
    COOL_DOWN_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Attempts,
    RoundRobin,
    pause_before,
)
from tritonpose.transport.messages import InferRequest, PoseResponse

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
    attempts = Attempts(RoundRobin(3, clock), retries=2, timeout=60, clock=clock, draw=longest)
    asked = ask_all(attempts, clock)
    assert [pause for _, pause in asked] == [0, 0, 0.1, 0, 0, 0.2, 0, 0, -1]
    assert all({server for server, _ in asked[k : k + 3]} == {0, 1, 2} for k in (0, 3, 6))


def test_no_retries_means_that_each_server_is_asked_once() -> None:
    clock = Clock()
    for count in (1, 2):
        attempts = Attempts(RoundRobin(count, clock), 0, 60, clock, longest)
        assert len(ask_all(attempts, clock)) == count


def test_attempts_end_before_the_timeout() -> None:
    clock = Clock()
    attempts = Attempts(RoundRobin(1, clock), retries=1000, timeout=5, clock=clock, draw=longest)
    asked = ask_all(attempts, clock)
    # 0.1 + 0.2 + 0.4 + 0.8 + 1.6 fit into 5 s, and 2 more don't.
    assert [pause for _, pause in asked] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, -1])
    assert attempts.seconds_left() == pytest.approx(1.9)


def test_the_last_error_says_that_no_server_was_left() -> None:
    with pytest.raises(ServerUnavailableError, match=r"^full$"):
        Attempts(RoundRobin(1), 0, 60).failed(REFUSAL)
    attempts = Attempts(RoundRobin(2), 0, 60)
    attempts.failed(REFUSAL)
    last = ServerUnavailableError("full")
    last.detail, last.code = "128 requests are in flight", "busy"
    with pytest.raises(ServerUnavailableError, match=r"none of 2 servers.*full") as caught:
        attempts.failed(last)
    assert (caught.value.detail, caught.value.code) == (last.detail, "busy")


def test_round_robin_passes_over_a_cooling_server() -> None:
    clock = Clock()
    turns = RoundRobin(3, clock)
    assert [turns.order() for _ in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
    turns.failed(1)
    firsts = [turns.order()[0] for _ in range(100)]
    assert {server: firsts.count(server) for server in range(3)} == {0: 50, 1: 0, 2: 50}
    assert turns.order()[-1] == 1


def test_one_request_at_a_time_tries_a_server_after_its_cool_down() -> None:
    clock = Clock()
    turns = RoundRobin(2, clock)
    turns.failed(0)
    clock.now += COOL_DOWN_SECONDS
    assert [turns.order()[0] for _ in range(20)].count(0) == 1
    turns.succeeded(0)
    assert [turns.order()[0] for _ in range(20)].count(0) == 10


def test_servers_that_all_cool_down_are_asked_all_the_same() -> None:
    clock = Clock()
    turns = RoundRobin(2, clock)
    turns.failed(1)
    clock.now += 0.5
    turns.failed(0)
    assert turns.order() == [1, 0]


class StandIn:
    """A server, of both kinds, that fails as often as it is set to and then answers."""

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

    def is_ready(self, timeout: float) -> bool:
        return timeout > 0 and self.always is None

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
        self.pauses: list[float] = []
        self.transport = Transport(servers, timeout, retries)
        self.transport.sleep = self.pauses.append

    def infer(self) -> PoseResponse:
        return self.transport.infer(REQUEST)

    def is_ready(self) -> bool:
        return self.transport.is_ready(1.0)

    def close(self) -> None:
        self.transport.close()


class AsyncTwin:
    stand_in = Async

    def __init__(self, *servers: Any, timeout: float = 60.0, retries: int = 4) -> None:
        self.pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        self.transport = AsyncTransport(servers, timeout, retries)
        self.transport.sleep = sleep

    def infer(self) -> PoseResponse:
        return asyncio.run(self.transport.infer(REQUEST))

    def is_ready(self) -> bool:
        return asyncio.run(self.transport.is_ready(1.0))

    def close(self) -> None:
        asyncio.run(self.transport.close())


TWINS = pytest.mark.parametrize("twin", [SyncTwin, AsyncTwin])
Twin = type[SyncTwin] | type[AsyncTwin]


@TWINS
def test_a_server_that_is_full_for_a_moment_costs_no_answer(twin: Twin) -> None:
    server = twin.stand_in(REFUSAL, REFUSAL)
    client = twin(server)
    assert len(client.infer().boxes) == 0
    assert len(server.timeouts) == 3
    assert len(client.pauses) == 2


@TWINS
def test_retries_end(twin: Twin) -> None:
    server = twin.stand_in(always=REFUSAL)
    client = twin(server, retries=3)
    with pytest.raises(ServerUnavailableError, match="full"):
        client.infer()
    assert (len(server.timeouts), len(client.pauses)) == (4, 3)


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
def test_another_server_answers_at_once(twin: Twin) -> None:
    gone, well = twin.stand_in(always=REFUSAL), twin.stand_in()
    client = twin(gone, well)
    for _ in range(10):
        client.infer()
    assert (len(gone.timeouts), len(well.timeouts)) == (1, 10)
    assert sum(client.pauses) == 0


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
    transport = Transport(servers, 60.0, 0)
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
        transport = AsyncTransport([Async(*[REFUSAL] * 3)], 60.0, 4)
        task = asyncio.create_task(transport.infer(REQUEST))
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        return count

    started = time.monotonic()
    assert asyncio.run(ticks_during_retries()) > 10
    assert time.monotonic() - started < 30


@TWINS
def test_a_transport_is_ready_when_one_of_its_servers_is(twin: Twin) -> None:
    lost, well = twin.stand_in(always=REFUSAL), twin.stand_in()
    assert twin(lost, well).is_ready()
    assert not twin(lost, lost).is_ready()
