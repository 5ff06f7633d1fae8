"""Follow the people in the images that come by a WebSocket."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from tritonpose_server.service.contract.answers import error_body, notice_body, tracked_body
from tritonpose_server.service.contract.failures import (
    BusyError,
    ServiceError,
    invalid,
    invalid_image,
)
from tritonpose_server.service.contract.stream import read_message
from tritonpose_server.service.rest.api_keys import key_check, key_failure
from tritonpose_server.service.rest.follower import Follower
from tritonpose_server.service.rest.responses import (
    add_log_fields,
    note_reason,
    request_id,
    set_request_id,
)
from tritonpose_server.service.rest.telemetry import DROPPED

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from tritonpose_server.service.contract.stream import StreamMessage
    from tritonpose_server.service.rest.limits import Slots
    from tritonpose_server.service.rest.service import KeypointService
    from tritonpose_server.service.rest.settings import RestSettings

# Codes of ours begin here: the rest is the HTTP status.
_CLOSE_CODES = 4000

_OUTAGE = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass(frozen=True)
class _Frame:
    """An image on its way; ``time`` is None where its client gave none. Times are in seconds."""

    number: int
    image: bytes
    arrived: float
    time: float | None
    reset: bool


class StreamSession:
    """One WebSocket: the images of one camera or video, in their order, one at a time.

    While one is worked on, one waits, the newest: an image that it replaces is dropped.
    """

    def __init__(
        self, socket: WebSocket, settings: RestSettings, streams: Slots, service: KeypointService
    ) -> None:
        self._socket = socket
        self._settings = settings
        self._streams = streams
        self._service = service
        self._clock = _Clock()
        self._follower = Follower(service.in_thread)
        # Of the next image.
        self._time: float | None = None
        self._reset = False
        self._waiting: _Frame | None = None
        self._changed = asyncio.Event()
        self._frames = self._dropped = 0
        self._began = time.monotonic()

    async def run(self) -> None:
        """Serve the client until it leaves, or until it has done something wrong."""
        await self._socket.accept()
        try:
            await self._greet()
            with self._streams.take():
                await self._send(notice_body("Ready", request_id(self._socket.scope)))
                await self._serve()
        except ServiceError as error:
            note_reason(self._socket.scope, error)
            # It may have left, or read nothing for too long.
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._send(error_body(error, request_id(self._socket.scope)))
                await self._socket.close(_CLOSE_CODES + error.status)
        except WebSocketDisconnect:
            pass
        finally:
            add_log_fields(self._socket.scope, frames=self._frames, dropped=self._dropped)

    async def _greet(self) -> None:
        """Read the first message, and look for a key where one is needed."""
        message = await self._receive(
            self._settings.header_timeout,
            "the first message did not arrive within {:g} s (header_timeout)",
        )
        if not isinstance(message, str):
            words = "the first message must be a text: a JSON object, `{}` at least"
            raise invalid([("value_error", "message", words)])
        said = read_message(message)
        set_request_id(self._socket.scope, said.logId)
        admits = key_check(self._socket.scope)
        if admits is not None and (said.key is None or not admits(said.key)):
            raise key_failure(said.key, 'the first message is to have it, {"key": "KEY"}')
        self._hear(said)

    async def _serve(self) -> None:
        tasks = [asyncio.create_task(each) for each in (self._read_all(), self._work())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        try:
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
        finally:
            # An exception knows this frame; were it known here, both would wait for Python's next
            # garbage collection, and the stream's memory with them.
            del tasks, task, outcomes, outcome

    async def _read_all(self) -> None:
        """Read what the client sends; answers at once what needs no work."""
        while True:
            message = await self._receive(
                self._settings.keep_alive_timeout,
                "no message came within {:g} s (keep_alive_timeout)",
            )
            if isinstance(message, str):
                try:
                    self._hear(read_message(message))
                except ServiceError as error:
                    await self._send(error_body(error, request_id(self._socket.scope)))
                continue
            await self._let_wait(message)

    async def _let_wait(self, image: bytes) -> None:
        """Let an image wait for its turn, and drop the one that it replaces."""
        dropped = self._waiting
        # What a dropped one begins, this one begins.
        reset = self._reset or (dropped is not None and dropped.reset)
        arrived = time.monotonic() - self._began
        self._waiting = _Frame(self._frames, image, arrived, self._time, reset)
        self._frames += 1
        self._time, self._reset = None, False
        self._changed.set()
        if dropped is not None:
            self._dropped += 1
            self._service.metrics.frames.labels(DROPPED).inc()
            failure = BusyError("dropped for a newer image: let two at most be unanswered")
            await self._send(error_body(failure, self._log_id(dropped), dropped.number))

    def _hear(self, said: StreamMessage) -> None:
        self._follower.change(said.changes())
        if said.time is not None:
            self._time = said.time
        self._reset = self._reset or said.reset

    async def _work(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            frame, self._waiting = self._waiting, None
            if frame is not None:
                await self._answer(frame)

    async def _answer(self, frame: _Frame) -> None:
        log_id = self._log_id(frame)
        with self._service.tracing.frame_span():
            try:
                body = await self._follow(frame, log_id)
                status = HTTPStatus.OK
            except ServiceError as error:
                self._follower.fail()
                if error.status in _OUTAGE:
                    self._clock.lose()
                body, status = error_body(error, log_id, frame.number), error.status
        self._service.metrics.frames.labels(str(status.value)).inc()
        await self._send(body)

    async def _follow(self, frame: _Frame, log_id: str) -> bytes:
        if frame.reset:
            self._clock = _Clock()
            self._follower.restart()
        if not frame.image:
            raise invalid_image("image", "the image file is empty")
        self._clock.check(frame)
        with self._service.stage("read"):
            request = await self._follower.request(frame.image, log_id)
        people = await self._service.find_in_frame(request, again=self._clock.in_outage)
        shown, internal = self._clock.take(frame)
        with self._service.stage("write"):
            result = self._follower.take(people, internal)
            arrays = result.arrays
            self._service.metrics.people.inc(len(arrays.boxes))
            return tracked_body(arrays, result.track_ids, frame.number, shown, log_id)

    async def _receive(self, seconds: float, otherwise: str) -> str | bytes:
        """Return the next message; ServiceError 408 if none comes, or WebSocketDisconnect."""
        try:
            message = await asyncio.wait_for(self._socket.receive(), seconds)
        except asyncio.TimeoutError:
            words = otherwise.format(seconds)
            raise ServiceError(HTTPStatus.REQUEST_TIMEOUT, words) from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        content: str | bytes | None = message.get("text")
        return message["bytes"] if content is None else content

    async def _send(self, body: bytes) -> None:
        with suppress(RuntimeError):  # Once the end was received, nothing can be sent.
            await self._socket.send_text(body.decode())

    def _log_id(self, frame: _Frame) -> str:
        return f"{request_id(self._socket.scope)[:100]}-{frame.number}"


class _Clock:
    """The times of a stream's images, and of its tracker, for which no time passes in an outage."""

    def __init__(self) -> None:
        self._given: bool | None = None
        self._last: float | None = None
        self._step = 0.0
        self._lost = 0.0
        self.in_outage = False

    def check(self, frame: _Frame) -> None:
        """Refuse an image with 422 whose time is not one after those before it."""
        given = frame.time is not None
        if self._given is not None and given != self._given:
            raise _wrong_time(
                "either all images have a `time` or none has; send `reset` to change that"
            )
        if frame.time is not None and self._last is not None and frame.time <= self._last:
            raise _wrong_time(
                f"{frame.time:g} s is not after the {self._last:g} s of the image before: where "
                "what follows is another scene, send `reset` with it"
            )

    def take(self, frame: _Frame) -> tuple[float, float]:
        """Return the time of an image, and what it is for the tracker."""
        now = frame.arrived if frame.time is None else frame.time
        step = 0.0 if self._last is None else now - self._last
        if self.in_outage:
            self._lost += max(step - self._step, 0.0)
        else:
            self._step = step
        self._given, self._last, self.in_outage = frame.time is not None, now, False
        return now, now - self._lost

    def lose(self) -> None:
        """Note that Triton gave no answer for an image."""
        self.in_outage = True


def _wrong_time(why: str) -> ServiceError:
    return invalid([("value_error", "message.time", why)])
