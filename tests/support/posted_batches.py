"""Batches sent to the REST application, in front of a Triton that tests let wait or fail."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from poses import people
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
