"""The way of one request through the service."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tritonpose_server.service.contract import (
    ServiceError,
    check_request,
    parse_json,
    success_body,
)
from tritonpose_server.service.rest.body import receive_json
from tritonpose_server.service.rest.hang_up import unless_hung_up
from tritonpose_server.service.rest.memory import BodyMemory
from tritonpose_server.service.rest.metrics import Metrics
from tritonpose_server.service.rest.observation import name_request, note, request_id
from tritonpose_server.service.rest.responses import error_response, json_response
from tritonpose_server.service.rest.slots import BusyError, Slots
from tritonpose_server.service.rest.tracing import Tracing
from tritonpose_server.service.rest.upstream import Upstream
from tritonpose_server.service.urls import ImageFetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from tritonpose.transport import AsyncTransport
    from tritonpose.transport.messages import PoseResponse
    from tritonpose_server.service.contract import KeypointRequest
    from tritonpose_server.service.rest.memory import Share
    from tritonpose_server.service.rest.settings import RestSettings

T = TypeVar("T")

# Parsing takes about 0.5 ms per megabyte; the way to a thread and back costs about 0.1 ms.
_INLINE_BYTES = 500_000


class KeypointService:
    """Answers requests for keypoints. Nothing in it blocks the event loop that it runs in."""

    def __init__(self, settings: RestSettings, slots: Slots, transport: AsyncTransport) -> None:
        """Prepare everything; nothing is connected yet.

        Args:
            settings: How to serve.
            slots: For the requests under way; once they are closed, further ones are refused.
            transport: Sends requests to Triton; closed with the service.
        """
        self._settings = settings
        self._slots = slots
        self._memory = BodyMemory(settings.max_bodies_bytes)
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="rest")
        self.metrics = Metrics(
            lambda: self._slots.taken, lambda: self._slots.present - self._slots.taken
        )
        self.tracing = Tracing.from_environment(os.environ)
        self.upstream = Upstream(transport, settings.triton_timeout)
        self._images = ImageFetcher(settings.urls)

    async def is_ready(self) -> bool:
        """Whether images can be processed now."""
        return not self._slots.closed and await self.upstream.is_ready()

    async def close(self) -> None:
        """Closes the connection to Triton, ends the threads and sends what is left of traces."""
        await self.upstream.close()
        self._threads.shutdown()
        await asyncio.to_thread(self.tracing.close)

    async def answer(self, request: Request) -> Response:
        """Answers a request, whether it succeeds or not.

        Raises:
            ClientDisconnect: The client is gone.
        """
        try:
            with self._slots.admit(), self._memory.share() as memory:
                with self._stage("read"):
                    asked = await self._read(request, memory)
                name_request(request.scope, asked.log_id)
                with self._slots.take():
                    return await self._answer(request, asked)
        except ServiceError as error:
            if isinstance(error, BusyError):
                note(request.scope, reason=error.reason)
            name_request(request.scope, error.log_id)
            return error_response(error, request_id(request.scope))

    async def _answer(self, request: Request, asked: KeypointRequest) -> Response:
        log_id = request_id(request.scope)
        image, poses = await unless_hung_up(request, self._find(asked, log_id))
        with self._stage("write"):
            body = await self._write(asked, image, poses, log_id)
        self.metrics.persons(len(poses.boxes))
        note(request.scope, persons=len(poses.boxes))
        return json_response(body, log_id)

    @contextmanager
    def _stage(self, name: str, *, to_triton: bool = False) -> Iterator[None]:
        """Times a part of the work, and makes a span of it."""
        with self.metrics.stage(name), self.tracing.span(name, to_triton=to_triton):
            yield

    async def _find(self, asked: KeypointRequest, log_id: str) -> tuple[bytes, PoseResponse]:
        image = asked.image
        if isinstance(image, str):
            with self._stage("fetch"):
                image = await self._images.fetch(image)
        with self._stage("triton", to_triton=True):
            return image, await self.upstream.infer(image, asked.det_threshold, log_id)

    async def _read(self, request: Request, memory: Share) -> KeypointRequest:
        body = await receive_json(request, self._settings, memory)
        parse = partial(_parse, body, visualize=self._settings.visualize)
        return parse() if len(body) <= _INLINE_BYTES else await self._in_thread(parse)

    async def _write(
        self, asked: KeypointRequest, image: bytes, poses: PoseResponse, log_id: str
    ) -> bytes:
        write = partial(success_body, asked, image, poses, log_id)
        return await self._in_thread(write) if asked.visualize else write()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _parse(body: bytearray, *, visualize: bool) -> KeypointRequest:
    return check_request(parse_json(body), visualize=visualize)
