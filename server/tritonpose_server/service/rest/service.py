"""Answer requests for keypoints: read, ask Triton, write."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose_pipeline.errors import parse_code
from tritonpose_server.service.contract.answers import success_body
from tritonpose_server.service.contract.failures import (
    BusyError,
    ServiceError,
    failure_of_pipeline,
    internal_error,
    invalid_image,
    unavailable,
)
from tritonpose_server.service.rest.bodies import (
    coding_of_body,
    decompress,
    kind_of_body,
    read_body,
    receive_body,
)
from tritonpose_server.service.rest.limits import BodyMemory, Slots, cancel_on_disconnect
from tritonpose_server.service.rest.observation import add_log_fields
from tritonpose_server.service.rest.readiness import Readiness
from tritonpose_server.service.rest.responses import (
    error_response,
    json_response,
    request_id,
    set_request_id,
)
from tritonpose_server.service.rest.telemetry import RestMetrics, RestTracing
from tritonpose_server.service.urls.fetching import ImageFetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from tritonpose.transport import AsyncTransport
    from tritonpose.transport.messages import InferRequest, PoseResponse
    from tritonpose_server.service.contract.requests import KeypointRequest
    from tritonpose_server.service.rest.limits import TakeMemory
    from tritonpose_server.service.rest.settings import RestSettings

LOGGER = logging.getLogger("tritonpose.service")

T = TypeVar("T")

# Parsing takes about 0.5 ms per megabyte; the way to a thread and back costs about 0.1 ms.
_INLINE_BYTES = 500_000


class KeypointService:
    """Answers requests for keypoints; never blocks the event loop that it runs in."""

    def __init__(self, settings: RestSettings, slots: Slots, transport: AsyncTransport) -> None:
        """Prepare everything; nothing is connected yet.

        Once ``slots`` are closed, further requests are refused. ``transport`` must not repeat
        requests: that is for the clients of this service to decide. It is closed with the service.
        Raises ConfigError if the environment asks for traces, but what sends them is not installed.
        """
        self._settings = settings
        self._slots = slots
        self._transport = transport
        self._memory = BodyMemory(settings.max_bodies_bytes)
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="rest")
        self.metrics = RestMetrics(
            lambda: self._slots.taken, lambda: self._slots.present - self._slots.taken
        )
        self.tracing = RestTracing.from_environment(os.environ)
        self._images = ImageFetcher(settings.urls)
        self._readiness = Readiness(transport, settings.triton_url)

    async def problem(self) -> str | None:
        """Return why no image can be processed now; None if images can."""
        if self._slots.closed:
            return "the service is shutting down"
        return await self._readiness.problem()

    async def close(self) -> None:
        """Close the connection to Triton, end the threads and send the remaining spans."""
        await self._transport.close()
        self._threads.shutdown()
        await asyncio.to_thread(self.tracing.close)

    async def answer(self, request: Request) -> Response:
        """Answer a request, whether it succeeds or not; ClientDisconnect if its client has gone."""
        try:
            with self._slots.admit(), self._memory.share() as take_memory:
                with self._stage("read"):
                    asked = await self._read(request, take_memory)
                set_request_id(request.scope, asked.log_id)
                with self._slots.take():
                    return await self._answer(request, asked)
        except ServiceError as error:
            if isinstance(error, BusyError):
                add_log_fields(request.scope, reason=error.reason)
            set_request_id(request.scope, error.log_id)
            return error_response(error, request_id(request.scope))

    async def _answer(self, request: Request, asked: KeypointRequest) -> Response:
        log_id = request_id(request.scope)
        image, poses = await cancel_on_disconnect(request, self._find_people(asked, log_id))
        write = partial(success_body, asked, image, poses, log_id)
        with self._stage("write"):
            body = await self._in_thread(write) if asked.visualize else write()
        self.metrics.people.inc(len(poses.boxes))
        add_log_fields(request.scope, persons=len(poses.boxes))
        return json_response(body, log_id)

    @contextmanager
    def _stage(self, name: str, *, to_triton: bool = False) -> Iterator[None]:
        """Time a part of the work, and make a span of it."""
        with self.metrics.stages.labels(name).time(), self.tracing.span(name, to_triton=to_triton):
            yield

    async def _read(self, request: Request, take_memory: TakeMemory) -> KeypointRequest:
        settings, headers = self._settings, request.headers
        content_type = headers.get("content-type", "")
        kind = kind_of_body(content_type)
        coding = coding_of_body(headers.get("content-encoding", ""))
        body = await receive_body(request, settings, take_memory)
        if coding is not None:
            limit = settings.max_body_bytes
            body = await self._in_thread(partial(decompress, body, coding, limit))
            take_memory(len(body))
        read = partial(
            read_body, kind, body, content_type, request.query_params, visualize=settings.visualize
        )
        return read() if len(body) <= _INLINE_BYTES else await self._in_thread(read)

    async def _find_people(self, asked: KeypointRequest, log_id: str) -> tuple[bytes, PoseResponse]:
        image = asked.image
        if isinstance(image, str):
            with self._stage("fetch"):
                image = await self._images.fetch(image)
        with self._stage("triton", to_triton=True):
            return image, await self._infer(asked.to_pipeline(image, log_id))

    async def _infer(self, request: InferRequest) -> PoseResponse:
        try:
            return await self._transport.infer(request)
        except TritonPoseError as error:
            failure = _failure_of_triton(error, self._settings.triton_timeout)
            if failure.is_fault:
                log_id = request.request_id
                LOGGER.error(
                    "request_id=%s failed: %s: %s",
                    *(log_id, type(error).__name__, " ".join(str(error).split())),
                    extra={"request_id": log_id},
                )
            raise failure from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _failure_of_triton(error: TritonPoseError, timeout: float) -> ServiceError:
    """Choose the client's error; addresses and details of faults of the server are for the log."""
    code, text = parse_code(error.detail or str(error))
    failure = failure_of_pipeline(getattr(error, "code", None) or code, text)
    if failure is not None:
        return failure
    if isinstance(error, InvalidRequestError):
        return invalid_image("image", text)
    if isinstance(error, ServerUnavailableError | ModelNotFoundError):
        return unavailable("the inference server is unavailable; try again later")
    if isinstance(error, DeadlineExceededError):
        return ServiceError(
            HTTPStatus.GATEWAY_TIMEOUT,
            f"the inference server gave no answer within {timeout:g} s; try again later",
        )
    return internal_error()
