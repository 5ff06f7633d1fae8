"""Several images in one request: who waits for whom."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from posted_batches import Triton, app_of, found, lines_of, post, requests, until
from tritonpose.errors import ServerUnavailableError
from tritonpose_server.service.rest.app import BATCH_PATH
from tritonpose_server.service.rest.limits import Slots


def test_as_many_at_once_as_allowed_and_first_done_first_out() -> None:
    finished = set()

    async def behave(number: int) -> None:
        await until(lambda: number != 0 or len(finished) == 11)
        await asyncio.sleep(0.01)
        finished.add(number)

    triton = Triton(behave)
    response = post(requests(12), triton=triton, max_batch_in_flight=4)
    assert triton.most_running == 4
    assert [json.loads(line)["index"] for line in response.text.splitlines()][-1] == 0
    lines_of(response)


def test_places_of_others_are_waited_for() -> None:
    """A batch takes no more than is free, and none of its images fails for it."""
    triton = Triton(lambda _number: asyncio.sleep(0.01))
    lines = lines_of(post(requests(8), triton=triton, max_in_flight=2))
    assert found(lines) == list(range(8))
    assert triton.most_running == 2


def test_a_busy_pipeline_is_asked_again() -> None:
    refused = set()

    async def behave(number: int) -> None:
        if number not in refused:
            refused.add(number)
            error = ServerUnavailableError("full")
            error.detail, error.code = "128 requests are in flight", "busy"
            raise error

    assert found(lines_of(post(requests(3), triton=Triton(behave)))) == [0, 1, 2]
    assert refused == {0, 1, 2}
    refused.clear()
    lines = lines_of(post(requests(1), triton=Triton(behave), triton_timeout=0.0))
    assert lines[0]["errorCode"] == 503


class Client:
    """A client at the door of the application, who reads and leaves when the test says so."""

    def __init__(self, app: Any, body: bytes) -> None:
        self.lines: list[bytes] = []
        self.reading = asyncio.Event()
        self.left = asyncio.Event()
        self._body: bytes | None = body
        scope = {
            "type": "http",
            "method": "POST",
            "path": BATCH_PATH,
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "raw_path": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "asgi": {"version": "3.0"},
        }
        self.request = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message.get("body"):
            self.lines.append(message["body"])
            await self.reading.wait()


def test_a_client_that_does_not_read_holds_up_its_own_images_alone() -> None:
    triton, slots = Triton(), Slots(8)

    async def scenario() -> None:
        app = app_of(triton, slots, max_batch_in_flight=3)
        client = Client(app, json.dumps(requests(40)).encode())
        await until(lambda: bool(client.lines))
        # Long enough for all 40, if nothing held them up.
        await asyncio.sleep(0.2)
        begun = len(triton.requests)
        assert (len(client.lines), triton.running, slots.taken) == (1, 0, 0)
        assert begun <= 1 + 2 * 3
        client.reading.set()
        await client.request
        assert len(client.lines) == 40
        assert (slots.present, slots.taken) == (0, 0)

    asyncio.run(scenario())


def test_the_work_for_a_client_that_leaves_ends() -> None:
    triton, slots = Triton(lambda number: asyncio.sleep(30 if number > 2 else 0)), Slots(8)

    async def scenario() -> None:
        app = app_of(triton, slots, max_batch_in_flight=4)
        client = Client(app, json.dumps(requests(40)).encode())
        client.reading.set()
        await until(lambda: len(client.lines) == 3 and triton.running == 4)
        client.left.set()
        await client.request
        await until(lambda: (triton.running, slots.present, slots.taken) == (0, 0, 0))
        assert len(triton.requests) <= 7

    asyncio.run(scenario())


def test_images_that_wait_are_not_being_received() -> None:
    triton = Triton(lambda _number: asyncio.sleep(30))

    async def scenario() -> str:
        app = app_of(triton, max_batch_in_flight=4)
        client = Client(app, json.dumps(requests(5)).encode())
        await until(lambda: triton.running == 4)
        door = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=door, base_url="http://localhost") as other:
            metrics = (await other.get("/metrics")).text
        client.left.set()
        await client.request
        return metrics

    lines = asyncio.run(scenario()).splitlines()
    assert "tritonpose_rest_requests_in_flight 4.0" in lines
    assert "tritonpose_rest_requests_receiving 0.0" in lines


def test_images_are_counted_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(Triton())

    async def scenario() -> str:
        door = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
            await client.post(BATCH_PATH, json=[*requests(3), {"image": "@"}])
            await client.post(BATCH_PATH, json={})
            return (await client.get("/metrics")).text

    with caplog.at_level("INFO", "tritonpose.access"):
        metrics = asyncio.run(scenario())
    counted = {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "tritonpose_rest_requests_total" and sample.value
    }
    assert counted == {"200": 3, "422": 2}
    first, second = [each.getMessage() for each in caplog.records if "/batch" in each.getMessage()]
    assert "status=200" in first
    assert "images=4 persons=3 failed=1" in first
    assert "status=422" in second


def test_the_text_of_a_batch_counts_until_it_is_parsed() -> None:
    triton, body = Triton(lambda _number: asyncio.sleep(30)), json.dumps(requests(2)).encode()

    async def scenario() -> None:
        app = app_of(triton, max_bodies_bytes=3 * len(body))
        first = Client(app, body)
        await until(lambda: triton.running == 2)
        second = Client(app, body)
        await until(lambda: triton.running == 4)
        for client in (first, second):
            client.left.set()
            await client.request

    asyncio.run(scenario())
