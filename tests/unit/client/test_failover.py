"""Retries and the choice among servers: no network, and no clock but the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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


Make = Callable[..., "Client"]


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
    assert len(ask_all(Attempts(RoundRobin(2, clock), 0, 60, clock, longest), clock)) == 2


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
    """A server that fails as often as it is set to and then answers."""

    def __init__(self, *errors: TritonPoseError, always: TritonPoseError | None = None) -> None:
        self.errors = list(errors)
        self.always = always
        self.timeouts: list[float] = []
        self.closed = 0

    def infer(self, _request: InferRequest, timeout: float) -> PoseResponse:
        self.timeouts.append(timeout)
        if self.always or self.errors:
            raise self.always or self.errors.pop(0)
        empty = np.zeros(0, np.float32)
        return PoseResponse(empty.reshape(0, 4), empty, empty.reshape(0, 17, 3), empty)

    def is_ready(self, timeout: float) -> bool:
        return timeout > 0 and self.always is None

    def close(self) -> None:
        self.closed += 1


class Asynchronous:
    """Makes the methods of an object asynchronous."""

    def __init__(self, wrapped: object) -> None:
        self.wrapped = wrapped

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            return getattr(self.wrapped, name)(*arguments)

        return call


class Client:
    """A transport of either kind, used without an event loop."""

    def __init__(
        self, asynchronous: bool, *servers: Any, timeout: float = 60.0, retries: int = 4
    ) -> None:
        self.pauses: list[float] = []
        self.transport: Any
        if asynchronous:
            wrapped: list[Any] = [Asynchronous(server) for server in servers]
            self.transport = AsyncTransport(wrapped, timeout, retries)
            self.transport.sleep = Asynchronous(self.pauses).append
        else:
            self.transport = Transport(servers, timeout, retries)
            self.transport.sleep = self.pauses.append

    def call(self, method: str, *arguments: object) -> Any:
        done = getattr(self.transport, method)(*arguments)
        return asyncio.run(done) if asyncio.iscoroutine(done) else done

    def infer(self) -> Any:
        return self.call("infer", REQUEST)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Callable[..., Client]:
    return partial(Client, request.param)


def test_a_server_that_is_full_for_a_moment_costs_no_answer(make: Make) -> None:
    server = StandIn(REFUSAL, REFUSAL)
    client = make(server)
    assert len(client.infer().boxes) == 0
    assert (len(server.timeouts), len(client.pauses)) == (3, 2)


def test_retries_end(make: Make) -> None:
    server = StandIn(always=REFUSAL)
    client = make(server, retries=3)
    with pytest.raises(ServerUnavailableError, match="full"):
        client.infer()
    assert (len(server.timeouts), len(client.pauses)) == (4, 3)


@pytest.mark.parametrize("kind", [InvalidRequestError, ServerError, ServerUnavailableError])
def test_errors_say_which_request_failed_and_only_refusals_are_retried(
    make: Make, kind: type[TritonPoseError]
) -> None:
    first, second = StandIn(always=kind("no")), StandIn(always=kind("no"))
    with pytest.raises(kind) as caught:
        make(first, second, retries=0).infer()
    assert (len(first.timeouts), len(second.timeouts)) == (1, kind is ServerUnavailableError)
    assert caught.value.request_id == REQUEST.request_id
    # In the message where the server's log has more to say.
    assert (REQUEST.request_id in str(caught.value)) == (kind is ServerError)


def test_attempts_share_one_timeout(make: Make) -> None:
    server = StandIn(REFUSAL, REFUSAL, REFUSAL)
    make(server, timeout=30).infer()
    assert server.timeouts == sorted(server.timeouts, reverse=True)
    assert len(set(server.timeouts)) == 4
    assert 20 < server.timeouts[-1] < server.timeouts[0] <= 30


def test_another_server_answers_at_once(make: Make) -> None:
    gone, well = StandIn(always=REFUSAL), StandIn()
    client = make(gone, well)
    for _ in range(10):
        client.infer()
    assert (len(gone.timeouts), len(well.timeouts)) == (1, 10)
    assert sum(client.pauses) == 0


def test_closing_twice_closes_once_and_then_nothing_is_sent(make: Make) -> None:
    servers = [StandIn(), StandIn()]
    client = make(*servers)
    client.call("close")
    client.call("close")
    assert [server.closed for server in servers] == [1, 1]
    with pytest.raises(RuntimeError, match="closed"):
        client.infer()
    assert [server.timeouts for server in servers] == [[], []]


def test_a_transport_is_ready_when_one_of_its_servers_is() -> None:
    lost, well = StandIn(always=REFUSAL), StandIn()
    assert Client(True, lost, well).call("is_ready", 1.0)
    assert not Client(True, lost, lost).call("is_ready", 1.0)


def test_many_threads_are_spread_evenly() -> None:
    servers: list[Any] = [StandIn() for _ in range(4)]
    transport = Transport(servers, 60.0, 0)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(transport.infer, [REQUEST] * 400))) == 400
    assert [len(server.timeouts) for server in servers] == [100] * 4


def test_a_pause_leaves_the_event_loop_free() -> None:
    async def ticks_during_retries() -> int:
        servers: list[Any] = [Asynchronous(StandIn(*[REFUSAL] * 3))]
        transport = AsyncTransport(servers, 60.0, 4)
        task = asyncio.create_task(transport.infer(REQUEST))
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(ticks_during_retries()) > 10
