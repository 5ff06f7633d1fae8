"""Parts of the REST service that need no more than ASGI messages."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from http import HTTPStatus
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from tritonpose.cli.logs import json_formatter
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.rest.bodies import SizeLimit, receive_body
from tritonpose_server.service.rest.limits import (
    BodyMemory,
    Slots,
    cancel_on_disconnect,
)
from tritonpose_server.service.rest.observation import ACCESS, Observation
from tritonpose_server.service.rest.readiness import Readiness
from tritonpose_server.service.rest.responses import add_log_fields, set_request_id
from tritonpose_server.service.rest.telemetry import HUNG_UP, RestMetrics, RestTracing

SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/somewhere",
    "headers": [(b"content-type", b"application/json"), (b"x-request-id", b"mine")],
}


def receiving(messages: AsyncIterator[Message]) -> Receive:
    async def receive() -> Message:
        return await anext(messages)

    return receive


async def chunks(*parts: bytes, pause: float = 0) -> AsyncIterator[Message]:
    for part in parts:
        await asyncio.sleep(pause)
        yield {"type": "http.request", "body": part, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


# --- body ---

LIMIT = SizeLimit(1000, "max_body_bytes")


def test_body_in_parts() -> None:
    request = Request(SCOPE, receiving(chunks(b"one", b"", b"two")))
    memory = BodyMemory(6)
    with memory.share() as take:
        assert asyncio.run(receive_body(request, LIMIT, 5, take)) == b"onetwo"
        with memory.share() as other:
            request = Request(SCOPE, receiving(chunks(b"x")))
            with pytest.raises(
                ServiceError, match=r"take all the memory .*\(max_bodies_bytes\)"
            ) as caught:
                asyncio.run(receive_body(request, LIMIT, 5, other))
        assert caught.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    with memory.share() as again:
        again(6)


def test_body_that_does_not_arrive() -> None:
    request = Request(SCOPE, receiving(chunks(*[b"x"] * 100, pause=0.02)))
    with (
        BodyMemory(1000).share() as take,
        pytest.raises(
            ServiceError, match=r"did not arrive within 0\.05 s \(receive_timeout\)"
        ) as caught,
    ):
        asyncio.run(receive_body(request, LIMIT, 0.05, take))
    assert caught.value.status == HTTPStatus.REQUEST_TIMEOUT


# --- clients that hang up ---


async def hang_up_after(seconds: float) -> AsyncIterator[Message]:
    await asyncio.sleep(seconds)
    yield {"type": "http.disconnect"}


def test_work_is_cancelled_when_nobody_waits() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def run() -> None:
        with pytest.raises(ClientDisconnect):
            await cancel_on_disconnect(Request(SCOPE, receiving(hang_up_after(0.01))), work())
        await asyncio.sleep(0)

    asyncio.run(run())
    assert ends == ["cancelled"]


def test_work_that_somebody_waits_for() -> None:
    async def succeed() -> str:
        await asyncio.sleep(0.01)
        return "done"

    async def fail() -> str:
        raise ValueError("failed")

    async def run(work: Callable[[], Any]) -> str:
        result: str = await cancel_on_disconnect(
            Request(SCOPE, receiving(hang_up_after(30))), work()
        )
        return result

    assert asyncio.run(run(succeed)) == "done"
    with pytest.raises(ValueError, match="failed"):
        asyncio.run(run(fail))


# --- slots ---


def test_slots() -> None:
    slots = Slots(2)
    with slots.take():
        with slots.take(), pytest.raises(ServiceError, match="2 requests"), slots.take():
            pass
        assert slots.taken == 1
        with pytest.raises(ZeroDivisionError), slots.take():
            raise ZeroDivisionError
        assert slots.taken == 1
    assert slots.taken == 0


def test_requests_that_are_here_when_the_door_closes_go_on() -> None:
    slots = Slots(2)
    with slots.admit():
        assert (slots.present, slots.taken) == (1, 0)
        slots.closed = True
        with pytest.raises(ServiceError, match="shutting down"), slots.admit():
            pass
        with slots.take():
            assert (slots.present, slots.taken) == (1, 1)
    # Nothing is received from clients that would be refused.
    full = Slots(1)
    with full.take(), pytest.raises(ServiceError, match="1 requests"), full.admit():
        pass
    assert (slots.present, slots.taken) == (0, 0)


# --- readiness ---


class SlowTransport:
    """A Triton that is not ready the first time, and takes a while to say so."""

    def __init__(self) -> None:
        self.asked = 0

    async def is_ready(self, _timeout: float) -> bool:
        self.asked += 1
        await asyncio.sleep(0.05)
        return self.asked > 1


def test_readiness_is_asked_for_once_by_many(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    transport = SlowTransport()

    async def run() -> None:
        # Nothing listens on port 9 of this machine.
        readiness = Readiness(transport, "http://127.0.0.1:9")
        impatient = asyncio.ensure_future(readiness.problem())
        others = [asyncio.ensure_future(readiness.problem()) for _ in range(50)]
        await asyncio.sleep(0.01)
        impatient.cancel()
        problems = await asyncio.gather(*others)
        assert set(problems) == {"Triton is out of reach: no connection to it can be made"}
        assert transport.asked == 1
        assert await readiness.problem() is None

    asyncio.run(run())
    assert [record.levelname for record in caplog.records if "Triton" in record.message] == [
        *("WARNING", "INFO")
    ]


# --- observation ---


def observe(app: Callable[[Scope, Receive, Send], Any]) -> tuple[list[Message], list[str]]:
    """Runs one request: messages sent, statuses counted."""
    sent: list[Message] = []
    metrics = RestMetrics(lambda: 0, lambda: 0)

    async def send(message: Message) -> None:
        sent.append(message)

    observation = Observation(app, metrics, RestTracing(None), "/somewhere", "/several")
    asyncio.run(observation(dict(SCOPE), receiving(chunks()), send))
    counted = r'tritonpose_rest_requests_total{status="(\d+)"} 1\.0'
    return sent, re.findall(counted, metrics.text().decode())


@pytest.mark.parametrize(("log_id", "expected"), [(None, "mine"), ("b", "b")])
def test_faults_are_told_to_the_log_alone(
    caplog: pytest.LogCaptureFixture, log_id: str | None, expected: str
) -> None:
    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        set_request_id(scope, log_id)
        raise RuntimeError("secret")

    sent, counted = observe(app)
    assert sent[0]["status"] == 500
    body = json.loads(sent[1]["body"])
    assert body == {"logId": expected, "errorCode": 500, "errorMsg": "Internal server error"}
    assert counted == ["500"]
    assert f"request_id={expected} failed" in caplog.text
    assert "RuntimeError: secret" in caplog.text


def test_clients_that_hang_up_are_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS.name)

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ClientDisconnect

    sent, counted = observe(app)
    assert sent == []
    assert counted == [str(HUNG_UP)]
    (entry,) = caplog.records
    assert "status=499" in entry.getMessage()


def test_answers_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        observe(app)
    assert "RuntimeError: halfway" in caplog.text


def test_a_line_of_the_log_is_fields(caplog: pytest.LogCaptureFixture) -> None:
    """As text for people, and as JSON for programs."""
    caplog.set_level(logging.INFO, ACCESS.name)

    class Status(IntEnum):
        BUSY = 503

        def __str__(self) -> str:
            """Write it as Python 3.10 does a member of `HTTPStatus`."""
            return "Status.BUSY"

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        add_log_fields(scope, persons=2, reason="busy")
        await send({"type": "http.response.start", "status": Status.BUSY, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    _, counted = observe(app)
    assert counted == ["503"]
    (entry,) = caplog.records
    assert 'path="/somewhere" status=503' in entry.getMessage()
    assert entry.getMessage().endswith(" persons=2 reason=busy")
    formatter = json_formatter()
    line = json.loads(formatter.format(entry))
    assert {"status": 503, "persons": 2, "path": "/somewhere", "sent": 2}.items() <= line.items()
    assert line["level"] == "INFO"
    assert line["logger"] == ACCESS.name
    assert isinstance(line["ms"], float)
    assert "T" in line["time"]
