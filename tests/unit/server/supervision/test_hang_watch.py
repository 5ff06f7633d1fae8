"""Which silence is taken for a hang, and which is not."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tritonpose_server.supervision.hang_watch import (
    LONGEST_IDLE,
    ROUNDS,
    SHORTEST_IDLE,
    HangWatch,
)
from tritonpose_server.supervision.triton_api import (
    PROBE_ID,
    PendingResponse,
    Probe,
    RequestCounts,
    probe_for,
)

MODEL = {
    "name": "model",
    "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["4", 6, 3]}],
}


class Response:
    def __init__(self, status: int | None) -> None:
        self.code = status
        self.closed = False

    def status(self) -> int | None:
        return self.code

    def close(self) -> None:
        self.closed = True


class Server:
    """A Triton whose models respond with a status."""

    def __init__(self) -> None:
        self.counts: dict[str, int] | None = {"model": 0}
        self.failed = 0
        self.status: int | None = 200
        self.answers: list[Response] = []

    def request_counts(self) -> dict[str, RequestCounts] | None:
        if self.counts is None:
            return None
        return {name: RequestCounts(count, self.failed) for name, count in self.counts.items()}

    def config(self, model: str) -> dict[str, Any] | None:
        return {**MODEL, "name": model}

    def send(self, probe: Probe) -> Response:
        assert probe.path == "/v2/models/model/infer"
        self.answers.append(Response(self.status))
        if self.counts and self.status == 200:
            self.counts["model"] += 1
        return self.answers[-1]


class Bench:
    def __init__(self) -> None:
        self.server = Server()
        self.now = 0.0
        self.effort = self.waited = 0.0
        self.watch = HangWatch(
            self.server, lambda _: self.effort, lambda: self.waited, 4.0, lambda: self.now
        )

    def rounds(self, count: int) -> list[str | None]:
        found = []
        for _ in range(count):
            self.now += 1.0
            found.append(self.watch.fault())
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_idle_model_gets_fewer_and_fewer_probes(bench: Bench) -> None:
    probed = []
    for number in range(4 * LONGEST_IDLE):
        assert bench.rounds(1) == [None]
        if len(bench.server.answers) > len(probed):
            probed.append(number)
    # Each round that reads the answer comes in between.
    idle = [later - sooner - 2 for sooner, later in pairwise(probed)]
    assert idle == [2 * SHORTEST_IDLE, *[LONGEST_IDLE] * (len(idle) - 1)]


@pytest.mark.parametrize("event", ["request", "failure elsewhere"])
def test_an_idle_model_that_may_have_work_gets_a_probe_soon(bench: Bench, event: str) -> None:
    bench.rounds(4 * LONGEST_IDLE)
    sent = len(bench.server.answers)
    if event == "request" and bench.server.counts:
        bench.server.counts["model"] += 1
    else:
        bench.server.failed += 1
    bench.rounds(SHORTEST_IDLE + 2)
    assert len(bench.server.answers) == sent + 1


def test_a_model_that_has_other_work_gets_no_probe(bench: Bench) -> None:
    for count in range(1, 20):
        bench.server.counts = {"model": count}
        assert bench.rounds(1) == [None]
    assert bench.server.answers == []


def test_a_model_that_falls_silent(bench: Bench) -> None:
    bench.server.status = None
    found = bench.rounds(SHORTEST_IDLE + 1 + ROUNDS)
    assert found == [None] * (SHORTEST_IDLE + ROUNDS) + ["model model does not answer"]
    assert len(bench.server.answers) == 1


def test_a_slow_model_is_left_alone(bench: Bench) -> None:
    """It answers others, then the probe, or at least computes."""
    bench.server.status = None
    bench.rounds(SHORTEST_IDLE + ROUNDS)
    bench.server.counts = {"model": 1}
    assert bench.rounds(1 + ROUNDS) == [None] * (1 + ROUNDS)
    bench.server.answers[0].code = 200
    assert bench.rounds(ROUNDS) == [None] * ROUNDS
    assert bench.server.answers[0].closed


def test_a_model_that_computes_is_left_alone(bench: Bench) -> None:
    bench.server.status = None
    for _ in range(20):
        bench.effort += 0.5
        assert bench.rounds(1) == [None]
    assert bench.rounds(ROUNDS)[-1] == "model model does not answer"


@pytest.mark.parametrize("status", [0, 500])
def test_a_model_that_worked_and_breaks(bench: Bench, status: int) -> None:
    bench.rounds(SHORTEST_IDLE + 2)
    bench.server.status = status
    found = bench.rounds(LONGEST_IDLE + 1 + ROUNDS)
    assert "model model does not answer" in found


@pytest.mark.parametrize(("status", "fault"), [(500, None), (0, "model model does not answer")])
def test_a_model_that_never_answered(bench: Bench, status: int, fault: str | None) -> None:
    """It may be unable to answer the probe, but it must have a process that lives."""
    bench.server.status = status
    assert set(bench.rounds(50)[SHORTEST_IDLE + ROUNDS :]) == {fault}


@pytest.mark.parametrize("status", [400, 503])
def test_a_refusal_is_an_answer(bench: Bench, status: int) -> None:
    bench.rounds(SHORTEST_IDLE + 2)
    bench.server.status = status
    assert bench.rounds(50) == [None] * 50


def test_a_server_that_is_silent(bench: Bench) -> None:
    bench.server.counts = None
    assert bench.rounds(ROUNDS - 1) == [None] * (ROUNDS - 1)
    bench.server.counts = {}
    assert bench.rounds(1) == [None]
    bench.server.counts = None
    assert bench.rounds(ROUNDS)[-1] == "it does not answer"


def test_a_server_that_gets_no_core(bench: Bench) -> None:
    """Others keep the machine busy: it answers nothing in time, but it is no hang."""
    bench.server.counts = None
    for _ in range(5 * ROUNDS):
        bench.waited += 0.2
        assert bench.rounds(1) == [None]
    assert bench.rounds(ROUNDS)[-1] == "it does not answer"


def test_a_model_that_gets_no_core(bench: Bench) -> None:
    """Of such a one, Triton says that its process gives no sign of life."""
    bench.rounds(SHORTEST_IDLE + 2)
    bench.server.status = PendingResponse.LOST
    for _ in range(50):
        bench.effort += 0.2
        assert bench.rounds(1) == [None]
    assert "model model does not answer" in bench.rounds(LONGEST_IDLE + 1 + ROUNDS)


def test_a_machine_that_stood_still(bench: Bench) -> None:
    bench.server.status = None
    bench.rounds(SHORTEST_IDLE + 1)
    bench.now += 1000
    assert bench.rounds(1) == [None]


def test_a_model_that_is_unloaded(bench: Bench) -> None:
    bench.server.status = None
    bench.rounds(SHORTEST_IDLE + 1)
    bench.server.counts = {}
    assert bench.rounds(2 * ROUNDS) == [None] * (2 * ROUNDS)
    assert bench.server.answers[0].closed


def test_the_probe_of_a_model() -> None:
    probe = probe_for(MODEL)
    assert probe is not None
    length = int(probe.headers["Inference-Header-Content-Length"])
    assert f'"id": "{PROBE_ID}"'.encode() in probe.body[:length]
    assert b'"shape": [1, 4, 6, 3]' in probe.body[:length]
    assert probe.body[length:] == bytes(4 * 6 * 3)


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [{"name": "text", "data_type": "TYPE_STRING", "dims": [1]}],
        [{"name": "image", "data_type": "TYPE_FP32", "dims": [4, 4, 3]}],
        [{"name": "image", "data_type": "TYPE_UINT8", "dims": [-1, -1, 3]}],
    ],
)
def test_models_of_other_kinds_get_none(inputs: list[dict[str, object]]) -> None:
    assert probe_for({"name": "other", "input": inputs}) is None
