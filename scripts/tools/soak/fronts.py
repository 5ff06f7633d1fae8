"""The ways into the service, each asked once per request: nothing is tried again here."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

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

# Longer than the service may take for anything.
PATIENCE_SECONDS = 30.0

_HPS_MODEL = "human-keypoint-detection"


class Front(Protocol):
    """A way into the service.

    Attributes:
        name: What it is called.
        takes_boxes: Whether a request may have person boxes.
    """

    name: str
    takes_boxes: bool

    async def ask(self, request: InferRequest) -> PoseResponse:
        """Send a request once.

        Raises:
            TritonPoseError: As `tritonpose.transport.Transport.infer`.
        """

    async def close(self) -> None:
        """Close the connections."""


def open_fronts(addresses: Addresses, retries: int = 0) -> list[Front]:
    """All fronts of a service; made and used within one event loop.

    Args:
        addresses: Where it listens.
        retries: How often the project's own client tries a request again where it is refused;
            REST and HPS have no client that does.
    """
    return [
        TritonFront("gRPC", addresses.grpc, retries),
        TritonFront("HTTP", addresses.http, retries),
        RestFront(addresses.rest),
        HpsFront(addresses.grpc),
    ]


class TritonFront:
    """The pipeline model, by the project's own client."""

    takes_boxes = True

    def __init__(self, name: str, url: str, retries: int) -> None:
        """Prepare the connection."""
        self.name = name
        self._transport = connect_async(url, PATIENCE_SECONDS, retries=retries)

    async def ask(self, request: InferRequest) -> PoseResponse:
        """Send a request; see `Front.ask`."""
        return await self._transport.infer(request)

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.close()


class RestFront:
    """PaddleX's REST interface."""

    name = "REST"
    takes_boxes = False

    def __init__(self, url: str) -> None:
        """Prepare the connection."""
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, request: InferRequest) -> PoseResponse:
        """Send a request; see `Front.ask`."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
            )
        document = _document(request)
        try:
            async with self._session.post(self._url, json=document) as response:
                content, headers = await response.read(), response.headers
        except aiohttp.ClientError as error:
            raise ServerUnavailableError(f"REST: {error or type(error).__name__}") from error
        except asyncio.TimeoutError as error:
            raise DeadlineExceededError("REST gave no answer in time") from error
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE and "Retry-After" not in headers:
            raise ServerError("REST answered 503 without Retry-After")
        return _read_answer("REST", content, document["logId"], response.status)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class HpsFront:
    """PaddleX's contract in tensors."""

    name = "HPS"
    takes_boxes = False

    def __init__(self, url: str) -> None:
        """Prepare the connection."""
        self._url = url
        self._client: Any = None

    async def ask(self, request: InferRequest) -> PoseResponse:
        """Send a request; see `Front.ask`."""
        if self._client is None:
            reconnect = [
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 500),
            ]
            self._client = triton_aio.InferenceServerClient(
                self._url.removeprefix("grpc://"), channel_args=reconnect
            )
        document = _document(request)
        tensor = triton.InferInput("input", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[json.dumps(document).encode()]], object))
        try:
            result = await self._client.infer(_HPS_MODEL, [tensor], client_timeout=PATIENCE_SECONDS)
        except InferenceServerException as error:
            raise error_from_status(error.status(), self._url, error.message()) from error
        return _read_answer("HPS", result.as_numpy("output")[0, 0], document["logId"])

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()


def _document(request: InferRequest) -> dict[str, Any]:
    if request.image is None:
        raise ValueError("this front takes encoded images only")
    document = {
        "image": base64.b64encode(request.image).decode("ascii"),
        "visualize": False,
        "logId": str(uuid.uuid4()),
    }
    if request.det_threshold is not None:
        document["detThreshold"] = request.det_threshold
    return document


_ERRORS: Mapping[int, type[TritonPoseError]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequestError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidRequestError,
    HTTPStatus.SERVICE_UNAVAILABLE: ServerUnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: DeadlineExceededError,
}


def _read_answer(
    front: str, content: bytes, log_id: str, status: int | None = None
) -> PoseResponse:
    """Read a body of PaddleX's contract.

    Args:
        front: Who gave it.
        content: The body.
        log_id: What the request was called.
        status: HTTP status, where there is one.
    """
    try:
        body = json.loads(content)
        code, result = body["errorCode"], body.get("result", {})
        persons = result.get("persons", [])
        # Who is refused before the request was read can't be called by its name.
        if body["logId"] != log_id and code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise ServerError(f"{front}: the answer to {body['logId']} came for {log_id}")
        if code:
            error = _ERRORS.get(code, ServerError)(f"{front}: {code}: {body['errorMsg']}")
            error.detail = body["errorMsg"]
            raise error
        if status not in (None, HTTPStatus.OK):
            raise ServerError(f"{front} answered {status} with errorCode {code}")
        return PoseResponse(
            np.array([each["bbox"] for each in persons], np.float32).reshape(-1, 4),
            np.array([each["detScore"] for each in persons], np.float32),
            np.array([each["kpts"] for each in persons], np.float32).reshape(-1, 17, 3),
            np.array([each["kptScore"] for each in persons], np.float32),
            result.get("truncated", False),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise ServerError(f"{front}: malformed answer: {content[:200]!r}") from error
