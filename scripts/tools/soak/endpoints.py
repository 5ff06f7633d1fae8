"""The endpoints of the service; each sends a request once and never retries."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tools.answers import poses_of
from tools.soak.service import Addresses
from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ServerError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.transport import connect_async
from tritonpose.transport.failures import error_from_status
from tritonpose.transport.messages import InferRequest, PoseResponse

REST, STREAM = "REST", "stream"
"""Names of endpoints."""

# Longer than the service may take for anything.
_PATIENCE_SECONDS = 30.0

_ERRORS: Mapping[int, type[TritonPoseError]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequestError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidRequestError,
    HTTPStatus.SERVICE_UNAVAILABLE: ServerUnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: DeadlineExceededError,
}


@dataclass(frozen=True)
class Endpoint:
    """A way into the service; `infer` sends a request once."""

    name: str
    infer: Callable[[InferRequest], Awaitable[PoseResponse]]
    close: Callable[[], Awaitable[None]]
    takes_boxes: bool = False


def open_endpoints(addresses: Addresses) -> list[Endpoint]:
    """Open all endpoints of a service; they belong to the running event loop."""
    grpc, http = (
        connect_async(url, _PATIENCE_SECONDS, retries=0) for url in (addresses.grpc, addresses.http)
    )
    return [
        Endpoint("gRPC", grpc.infer, grpc.close, takes_boxes=True),
        Endpoint("HTTP", http.infer, http.close, takes_boxes=True),
        _rest(addresses.rest),
        _stream(addresses.rest),
        _hps(addresses.grpc),
    ]


def _rest(url: str) -> Endpoint:
    client = httpx.AsyncClient(
        timeout=_PATIENCE_SECONDS, limits=httpx.Limits(max_connections=None), trust_env=False
    )

    async def send(document: Mapping[str, Any]) -> bytes:
        try:
            # httpx's own timeouts start again with every packet.
            response = await asyncio.wait_for(client.post(url, json=document), _PATIENCE_SECONDS)
        except httpx.HTTPError as error:
            raise ServerUnavailableError(f"REST: {error or type(error).__name__}") from error
        except asyncio.TimeoutError as error:
            raise DeadlineExceededError("REST gave no answer in time") from error
        status = response.status_code
        if status == HTTPStatus.SERVICE_UNAVAILABLE and "Retry-After" not in response.headers:
            raise ServerError("REST answered 503 without Retry-After")
        if (status == HTTPStatus.OK) != (response.json()["errorCode"] == 0):
            raise ServerError(f"REST answered {status} with another errorCode")
        return response.content

    return _contract_endpoint(REST, send, client.aclose)


def _stream(url: str) -> Endpoint:
    """Make an endpoint of streams of one image: each has a WebSocket, and knows nobody yet."""
    address = f"ws{url.removeprefix('http')}/track"

    async def ask(document: Mapping[str, Any]) -> dict[str, Any]:
        async with connect(address, proxy=None, compression=None) as socket:
            said = {"detInterval": 1, "smooth": False, "logId": document["logId"]}
            await socket.send(json.dumps(said))
            answer: dict[str, Any] = json.loads(await socket.recv())
            if answer["errorCode"] == 0:
                await socket.send(base64.b64decode(document["image"]))
                answer = json.loads(await socket.recv())
            return {**answer, "logId": answer["logId"].removesuffix("-0")}

    async def send(document: Mapping[str, Any]) -> bytes:
        try:
            answer = await asyncio.wait_for(ask(document), _PATIENCE_SECONDS)
        except asyncio.TimeoutError as error:
            raise DeadlineExceededError("a stream gave no answer in time") from error
        except (OSError, WebSocketException) as error:
            raise ServerUnavailableError(f"stream: {error or type(error).__name__}") from error
        return json.dumps(answer).encode()

    async def close() -> None:
        pass

    return _contract_endpoint(STREAM, send, close)


def _hps(url: str) -> Endpoint:
    reconnect = [
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
    ]
    address = url.removeprefix("grpc://")
    client = triton_aio.InferenceServerClient(address, channel_args=reconnect)

    async def send(document: Mapping[str, Any]) -> bytes:
        tensor = triton.InferInput("input", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[json.dumps(document).encode()]], object))
        try:
            result = await client.infer(
                "human-keypoint-detection", [tensor], client_timeout=_PATIENCE_SECONDS
            )
        except InferenceServerException as error:
            raise error_from_status(error.status(), url, error.message()) from error
        content: bytes = result.as_numpy("output")[0, 0]
        return content

    return _contract_endpoint("HPS", send, client.close)


def _contract_endpoint(
    name: str,
    send: Callable[[Mapping[str, Any]], Awaitable[bytes]],
    close: Callable[[], Awaitable[None]],
) -> Endpoint:
    """Make an endpoint of PaddleX's contract, which exchanges JSON documents."""

    async def infer(request: InferRequest) -> PoseResponse:
        log_id = str(uuid.uuid4())
        document: dict[str, Any] = {
            "image": base64.b64encode(request.image or b"").decode("ascii"),
            "visualize": False,
            "logId": log_id,
        }
        if request.det_threshold is not None:
            document["detThreshold"] = request.det_threshold
        content = b""
        try:
            content = await send(document)
            body = json.loads(content)
            code = body["errorCode"]
            # The service may refuse a request before it has read its name.
            if body["logId"] != log_id and code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise ServerError(f"{name}: the answer to {body['logId']} came for {log_id}")
            if code:
                raise _ERRORS.get(code, ServerError)(f"{name}: {code}: {body['errorMsg']}")
            result = body["result"]
            return replace(poses_of(result["persons"]), truncated=result.get("truncated", False))
        except (ValueError, LookupError, TypeError) as error:
            raise ServerError(f"{name}: malformed answer: {content[:200]!r}") from error

    return Endpoint(name, infer, close)
