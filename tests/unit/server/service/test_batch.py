"""Several images in one request: what a batch may be, its lines, and who waits for whom."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from poses import people
from tritonpose.errors import InvalidRequestError, ServerError, ServerUnavailableError
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.service.rest.app import BATCH_PATH, create_app
from tritonpose_server.service.rest.limits import Slots
from tritonpose_server.service.rest.settings import RestSettings

JPEG = b"\xff\xd8\xff\xe0 \r\n-- image "
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def image(number: int) -> str:
    return base64.b64encode(JPEG + b"%d" % number).decode()


def requests(count: int, **options: Any) -> list[dict[str, Any]]:
    return [{"image": image(number), **options} for number in range(count)]


def number_of(request: InferRequest) -> int:
    assert request.image is not None
    return int(request.image.removeprefix(JPEG))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


class Triton:
    """Finds as many people as the number of the image; ``behave`` may wait or fail before."""

    def __init__(self, behave: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.behave = behave
        self.requests: list[InferRequest] = []
        self.running = self.most_running = 0

    async def infer(self, request: InferRequest) -> PoseResponse:
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.behave is not None:
                await self.behave(number_of(request))
            return people(number_of(request))
        finally:
            self.running -= 1

    async def is_ready(self, _timeout: float) -> bool:
        return True

    async def close(self) -> None:
        pass


def app_of(triton: Triton, slots: Slots | None = None, **settings: Any) -> Any:
    settings = {"visualize": False, **settings}
    return create_app(RestSettings("grpc://127.0.0.1:9", **settings), slots, transport=triton)


def post(
    content: bytes | list,
    headers: dict[str, str] | None = None,
    query: str = "",
    triton: Triton | None = None,
    **settings: Any,
) -> httpx.Response:
    app = app_of(triton or Triton(), **settings)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def send() -> httpx.Response:
        door = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
            return await client.post(BATCH_PATH + query, content=body, headers=headers or JSON)

    return asyncio.run(send())


def lines_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The lines in the order of the images, each checked to be there once."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.endswith("}\n")
    lines = sorted(map(json.loads, response.text.splitlines()), key=lambda line: line["index"])
    assert [line["index"] for line in lines] == list(range(len(lines)))
    return lines


def found(lines: list[dict[str, Any]]) -> list[int]:
    return [len(line["result"]["persons"]) for line in lines]


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = (
        b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), content)
        for head, content in parts
    )
    return b"".join(lines) + b"--x--\r\n"


def file(number: int, name: str = "image") -> tuple[str, bytes]:
    return f'name="{name}"; filename="{number}.jpg"', JPEG + b"%d" % number


def test_an_array_of_requests() -> None:
    triton = Triton()
    batch = requests(3)
    batch[1] |= {"detThreshold": 0.25, "logId": "mine", "roi": [[0, 0], [9, 0], [9, 9]]}
    lines = lines_of(post(batch, {**JSON, "X-Request-ID": "all"}, triton=triton))
    assert found(lines) == [0, 1, 2]
    assert [line["logId"] for line in lines] == ["all.0", "mine", "all.2"]
    assert {(line["errorCode"], line["errorMsg"]) for line in lines} == {(0, "Success")}
    by_number = sorted(triton.requests, key=number_of)
    assert [each.det_threshold for each in by_number] == [None, 0.25, None]
    assert [each.roi is None for each in by_number] == [True, False, True]
    assert [each.request_id for each in by_number] == ["all.0", "mine", "all.2"]


def test_options_of_the_query_hold_for_all_that_say_nothing_else() -> None:
    triton = Triton()
    batch = [{"image": image(0), "detThreshold": 0.75}, {"image": image(1)}]
    query = f"?detThreshold=0.25&logId=all&roi=&image={image(9)}"
    lines = lines_of(post([*batch, {}], query=query, triton=triton))
    assert lines.pop()["errorCode"] == 422
    assert [line["logId"] for line in lines] == ["all.0", "all.1"]
    thresholds = {number_of(each): each.det_threshold for each in triton.requests}
    assert thresholds == {0: 0.75, 1: 0.25}


@pytest.mark.parametrize("names", [["image"] * 3, ["a", "b", "c"], ["images[]"] * 3])
def test_a_form_of_files(names: list[str]) -> None:
    triton = Triton()
    parts = [file(number, name) for number, name in enumerate(names)]
    options = [("name=detThreshold", b"0.25"), ("name=logId", b"all")]
    body = form(*parts[:2], *options, parts[2])
    lines = lines_of(post(body, FORM, triton=triton))
    assert found(lines) == [0, 1, 2]
    assert [line["logId"] for line in lines] == ["all.0", "all.1", "all.2"]
    assert {each.det_threshold for each in triton.requests} == {0.25}
    assert {each.image for each in triton.requests} == {content for _, content in parts}


def test_many_files_of_a_form() -> None:
    assert found(lines_of(post(form(*map(file, range(60))), FORM))) == list(range(60))


def test_a_compressed_batch() -> None:
    body = gzip.compress(json.dumps(requests(2)).encode())
    assert found(lines_of(post(body, {**JSON, "Content-Encoding": "gzip"}))) == [0, 1]


def test_errors_of_images_do_not_end_the_others() -> None:
    async def behave(number: int) -> None:
        if number == 1:
            error = InvalidRequestError("refused")
            error.detail, error.code = "`image` begins like a JPEG file but", "damaged_image"
            raise error
        if number == 2:
            raise ServerUnavailableError("gone")
        if number == 3:
            raise RuntimeError("a fault")
        if number == 4:
            raise ServerError("wrong")

    batch: list[Any] = requests(6)
    batch += [{"image": "@"}, {"detThreshold": 1}, "text", {"image": "https://a.example/b.jpg"}]
    batch.append({"image": image(1), "personBoxes": [[1, 2, 3]], "logId": "mine"})
    response = post(batch, triton=Triton(behave))
    lines = lines_of(response)
    codes = [line["errorCode"] for line in lines]
    assert codes == [0, 422, 503, 500, 500, 0, 422, 422, 422, 403, 422]
    assert [found(lines[number : number + 1]) for number in (0, 5)] == [[0], [5]]
    assert all("result" not in line and line["errorMsg"] for line in lines if line["errorCode"])
    assert lines[-1]["logId"] == "mine"
    assert "a fault" not in response.text


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        ([], JSON, 422, "the batch has no images"),
        (form(), FORM, 422, "the batch has no images"),
        (form(("name=visualize", b"no")), FORM, 422, "the batch has no images"),
        (b"{}", JSON, 422, "a batch is a JSON array of requests"),
        (b'"text"', JSON, 422, "a batch is a JSON array of requests"),
        (b"[", JSON, 422, "JSON decode error"),
        (b"--x\r\n", FORM, 422, "may be truncated"),
        (JPEG, {"Content-Type": "image/jpeg"}, 415, "send a JSON array of requests"),
        (b"", {"Content-Type": "text/plain"}, 415, "application/json"),
        (requests(9), JSON, 413, "the batch has 9 images; up to 8 (max_batch_images) are"),
        (
            form(*map(file, range(9))),
            FORM,
            413,
            "the batch has 9 images; up to 8 (max_batch_images) are",
        ),
        (form(*map(file, range(30))), FORM, 413, "more than the 24 parts"),
        (b"[" + b" " * 3_000_000 + b"]", JSON, 413, "the 3 MB accepted (max_batch_bytes)"),
        # Each two or three bytes of which became some 70 of memory.
        (b"[" + b"{}," * 300_000 + b"1]", JSON, 422, "more than the 250000 values"),
        (b"[" + b"1," * 300_000 + b"1]", JSON, 422, "more than the 250000 values"),
        (b"[" + b"[[[[]]]]," * 80_000 + b"1]", JSON, 422, "more than the 250000 values"),
        (b'{"a":' * 300_000, JSON, 422, "more than the 250000 values"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    content: bytes | list, headers: dict[str, str], status: int, words: str
) -> None:
    triton = Triton()
    limits = {"max_batch_images": 8, "max_batch_bytes": 3_000_000, "max_body_bytes": 100}
    response = post(content, headers, triton=triton, **limits)
    assert response.status_code == response.json()["errorCode"] == status
    assert words in response.json()["errorMsg"]
    assert triton.requests == []


def test_an_image_has_the_limit_of_an_image() -> None:
    batch = [{"image": image(0)}, {"image": "A" * 1001}, {"image": image(2)}]
    lines = lines_of(post(batch, max_body_bytes=1000))
    assert [line["errorCode"] for line in lines] == [0, 413, 0]
    assert lines[1]["errorMsg"].startswith(
        "the image is larger than the 0.001 MB accepted (max_body"
    )


def test_the_memory_of_all_bodies_bounds_batches_too() -> None:
    body = json.dumps(requests(10)).encode()
    assert post(body, max_bodies_bytes=len(body)).status_code == 413
    assert post(body, max_bodies_bytes=2 * len(body)).status_code == 200
    body = form(*map(file, range(10)))
    assert post(body, FORM, max_bodies_bytes=len(body)).status_code == 200


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
