"""Requests with any body, to the REST service in front of a Triton that keeps what it is sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.service.rest.app import create_app
from tritonpose_server.service.rest.settings import RestSettings

JPEG = b"\xff\xd8\xff\xe0 \r\n-- an \x00 image \r\n\r\n--z"


class Recording:
    """A Triton that keeps what it is sent, and fails."""

    def __init__(self) -> None:
        self.requests: list[InferRequest] = []

    async def infer(self, request: InferRequest) -> PoseResponse:
        self.requests.append(request)
        raise RuntimeError("no more")

    async def is_ready(self, _timeout: float) -> bool:
        return True

    async def close(self) -> None:
        pass


def post(
    content: bytes, headers: dict[str, str], query: str = "", **settings: Any
) -> tuple[httpx.Response, list[InferRequest]]:
    """The answer of a service, and what it sent to Triton."""
    triton = Recording()
    app = create_app(RestSettings("grpc://127.0.0.1:9", **settings), transport=triton)

    async def send() -> httpx.Response:
        door = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
            path = f"/human-keypoint-detection{query}"
            return await client.post(path, content=content, headers=headers)

    return asyncio.run(send()), triton.requests


def problems(response: httpx.Response) -> list[dict[str, str]]:
    """What is wrong with a request that was refused."""
    assert response.status_code == response.json()["errorCode"] == 422
    found: list[dict[str, str]] = json.loads(response.json()["errorMsg"])
    return found
