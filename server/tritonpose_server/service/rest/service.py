"""Answer requests for keypoints: read, ask Triton, write."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
from tritonpose_server.service.contract.answers import error_body, numbered, success_body
from tritonpose_server.service.contract.failures import (
    BusyError,
    ServiceError,
    failure_of_pipeline,
    internal_error,
    invalid_image,
    triton_unavailable,
)
from tritonpose_server.service.rest.batch import BatchResponse, answers_as_ready, read_batch
from tritonpose_server.service.rest.bodies import (
    BodyKind,
    SizeLimit,
    coding_of_body,
    decompress,
    kind_of_body,
    read_body,
    receive_body,
)
from tritonpose_server.service.rest.limits import (
    BodyMemory,
    Slots,
    cancel_on_disconnect,
)
from tritonpose_server.service.rest.readiness import Readiness
from tritonpose_server.service.rest.responses import (
    add_log_fields,
    json_response,
    refusal,
    request_id,
    set_request_id,
)
from tritonpose_server.service.rest.stream import StreamSession
from tritonpose_server.service.rest.telemetry import RestMetrics, RestTracing
from tritonpose_server.service.urls.fetching import ImageFetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope
    from starlette.websockets import WebSocket

    from tritonpose.transport import AsyncTransport
    from tritonpose.transport.messages import InferRequest, PoseResponse
    from tritonpose_server.service.contract.requests import KeypointRequest
    from tritonpose_server.service.rest.batch import Batch, BatchItem
    from tritonpose_server.service.rest.settings import RestSettings
    from tritonpose_server.service.urls.fetching import TakeMemory

LOGGER = logging.getLogger("tritonpose.service")

T = TypeVar("T")

# Parsing takes about 0.5 ms per megabyte; the way to a thread and back costs about 0.1 ms.
_INLINE_BYTES = 500_000

# Before an image of a batch is sent again to a server that is busy.
_PAUSE_SECONDS = 0.2

# So that the id with an image's number is still a usable one.
_LONGEST_BATCH_ID = 120


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
        self._body_limit = SizeLimit(settings.max_body_bytes, "max_body_bytes")
        self._memory = BodyMemory(settings.max_bodies_bytes)
        self._streams = Slots(
            settings.max_streams,
            "connections that follow people (max_streams) are open already",
        )
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="rest")
        self.metrics = RestMetrics(lambda: self._slots.taken, lambda: self._streams.taken)
        self.tracing = RestTracing.from_environment(os.environ)
        self._images = ImageFetcher(settings.urls)
        self._readiness = Readiness(transport, settings.triton_url)

    async def problem(self) -> str | None:
        """Return why no image can be processed now; None if images can."""
        if self._slots.closed:
            return "the service is shutting down"
        return await self._readiness.problem()

    async def follow(self, socket: WebSocket) -> None:
        """Follow people through the frames that come by a WebSocket, until it is closed."""
        await StreamSession(socket, self._settings, self._streams, self).run()

    async def find_in_frame(self, request: InferRequest, *, again: bool) -> PoseResponse:
        """Find the people in a frame, which counts as a request; ServiceError if that fails.

        ``again`` says that the last one has failed: then the log has that already.
        """
        size = len(request.image or b"")
        with self._slots.admit(), self._memory.share() as take_memory, self._slots.take():
            take_memory(size)
            with self.stage("triton", to_triton=True):
                return await self._infer(request, logged=not again)

    async def close(self) -> None:
        """Close the connection to Triton, end the threads and send the remaining spans."""
        await self._transport.close()
        self._threads.shutdown()
        await asyncio.to_thread(self.tracing.close)

    async def answer(self, request: Request) -> Response:
        """Answer a request, whether it succeeds or not; ClientDisconnect if its client has gone."""
        try:
            with self._slots.admit(), self._memory.share() as take_memory:
                with self.stage("read"):
                    asked = await self._read(request, take_memory)
                set_request_id(request.scope, asked.log_id)
                with self._slots.take():
                    return await self._answer(request, asked)
        except ServiceError as error:
            return refusal(request.scope, error)

    async def answer_batch(self, request: Request) -> Response:
        """Answer a batch with a line for each image, or an error for all of it.

        ClientDisconnect if its client has gone.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self._slots.admit())
                take_memory = held.enter_context(self._memory.share())
                with self.stage("read"):
                    batch = await self._read_batch(request, take_memory)
            except ServiceError as error:
                return refusal(request.scope, error)
            set_request_id(request.scope, batch.log_id)
            log_id = request_id(request.scope)
            count = len(batch.items)
            tally = Counter(images=count, persons=0, failed=0)
            lines = answers_as_ready(
                (
                    self._line(request.scope, batch.items.popleft(), index, log_id, tally)
                    for index in range(count)
                ),
                self._settings.max_batch_in_flight,
            )
            return BatchResponse(request, lines, log_id, held.pop_all())

    async def _line(
        self, scope: Scope, item: BatchItem, index: int, batch_id: str, tally: Counter[str]
    ) -> bytes:
        """Answer one image of a batch, whether it succeeds or not, and count it."""
        began = time.perf_counter()
        log_id, reason = f"{batch_id[:_LONGEST_BATCH_ID]}.{index}", None
        status = HTTPStatus.OK
        try:
            async with self._slots.take_in_turn():
                if item.size > self._body_limit.size:
                    raise self._body_limit.exceeded("image")
                read = item.read
                asked = read() if item.size <= _INLINE_BYTES else await self.in_thread(read)
                log_id = asked.log_id or log_id
                body, people = await self._estimate(asked, log_id, patient=True)
                tally["persons"] += people
        except ServiceError as error:
            status, reason = error.status, error.reason
            log_id = error.log_id or log_id
            body = error_body(error, log_id)
        except Exception:
            # The other images are answered all the same.
            LOGGER.exception("request_id=%s failed", log_id, extra={"request_id": log_id})
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            body = error_body(internal_error(), log_id)
        tally["failed"] += status != HTTPStatus.OK
        add_log_fields(scope, **tally)
        self.metrics.count_request(status, time.perf_counter() - began, reason)
        return numbered(body, index)

    async def _answer(self, request: Request, asked: KeypointRequest) -> Response:
        log_id = request_id(request.scope)
        body, people = await cancel_on_disconnect(request, self._estimate(asked, log_id))
        add_log_fields(request.scope, persons=people)
        return json_response(body, log_id)

    @contextmanager
    def stage(self, name: str, *, to_triton: bool = False) -> Iterator[None]:
        """Time a part of the work, and make a span of it."""
        with self.metrics.stages.labels(name).time(), self.tracing.span(name, to_triton=to_triton):
            yield

    async def _read(self, request: Request, take_memory: TakeMemory) -> KeypointRequest:
        settings = self._settings
        kind, body, content_type = await self._receive(
            request, self._body_limit, settings.receive_timeout, take_memory
        )
        read = partial(
            read_body, kind, body, content_type, request.query_params, visualize=settings.visualize
        )
        return read() if len(body) <= _INLINE_BYTES else await self.in_thread(read)

    async def _read_batch(self, request: Request, take_memory: TakeMemory) -> Batch:
        settings = self._settings
        limit = SizeLimit(settings.max_batch_bytes, "max_batch_bytes")
        timeout = settings.receive_timeout * max(limit.size / settings.max_body_bytes, 1)
        kind, body, content_type = await self._receive(request, limit, timeout, take_memory)
        if kind is BodyKind.JSON:
            # The texts that it is parsed into, which stay.
            take_memory(len(body))
        read = partial(read_batch, kind, body, content_type, request.query_params, settings)
        batch = read() if len(body) <= _INLINE_BYTES else await self.in_thread(read)
        if kind is BodyKind.JSON:
            take_memory(-len(body))
        return batch

    async def _receive(
        self, request: Request, limit: SizeLimit, timeout: float, take_memory: TakeMemory
    ) -> tuple[BodyKind, bytearray, str]:
        """Receive a body, and decompress it; returns also what it is declared as."""
        content_type = request.headers.get("content-type", "")
        kind = kind_of_body(content_type)
        coding = coding_of_body(request.headers.get("content-encoding", ""))
        with self.metrics.receiving.track_inprogress():
            body = await receive_body(request, limit, timeout, take_memory)
        if coding is not None:
            body = await self.in_thread(partial(decompress, body, coding, limit))
            take_memory(len(body))
        return kind, body, content_type

    async def _estimate(
        self, asked: KeypointRequest, log_id: str, *, patient: bool = False
    ) -> tuple[bytes, int]:
        """Find the people in an image; returns the body of the answer, and how many they are."""
        image = asked.image
        with self._memory.share() as take_memory:
            if isinstance(image, str):
                with self.stage("fetch"):
                    image = await self._images.fetch(image, take_memory)
            with self.stage("triton", to_triton=True):
                infer = self._infer_patiently if patient else self._infer
                poses = await infer(asked.to_pipeline(image, log_id))
            write = partial(success_body, asked, image, poses, log_id)
            with self.stage("write"):
                body = await self.in_thread(write) if asked.visualize else write()
        self.metrics.people.inc(len(poses.boxes))
        return body, len(poses.boxes)

    async def _infer_patiently(self, request: InferRequest) -> PoseResponse:
        """Ask Triton, again while it is busy: others of a batch may keep it so."""
        until = time.monotonic() + self._settings.triton_timeout
        while True:
            try:
                return await self._infer(request)
            except BusyError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _infer(self, request: InferRequest, *, logged: bool = True) -> PoseResponse:
        try:
            return await self._transport.infer(request)
        except TritonPoseError as error:
            failure = _failure_of_triton(error, self._settings.triton_timeout)
            if failure.is_fault and logged:
                log_id = request.request_id
                LOGGER.error(
                    "request_id=%s failed: %s: %s",
                    *(log_id, type(error).__name__, " ".join(str(error).split())),
                    extra={"request_id": log_id},
                )
            raise failure from error

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do work that takes long in a thread."""
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
        return triton_unavailable()
    if isinstance(error, DeadlineExceededError):
        return ServiceError(
            HTTPStatus.GATEWAY_TIMEOUT,
            f"Triton gave no answer within {timeout:g} s (triton_timeout); try again later",
        )
    return internal_error()
