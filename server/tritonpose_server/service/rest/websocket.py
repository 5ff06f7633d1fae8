"""A connection that has become a WebSocket, within limits, as ASGI has it.

uvicorn's own WebSockets limit neither the time of a message, nor its parts, nor that of a client to
read, and write tracebacks of strangers' mistakes to the log. This has only what the service needs:
no compression, which does nothing for images, and no subprotocols.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from hashlib import sha1
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from starlette.datastructures import Headers
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side

from tritonpose_server.service.rest.heads import websocket_key

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable, Mapping

    from starlette.types import Message, Scope
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from tritonpose_server.service.rest.settings import RestSettings

LOGGER = logging.getLogger("tritonpose.service")

# Of RFC 6455.
_ACCEPTED = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# What is parsed at once, and how many frames may be in it, besides one for each of these bytes. A
# frame costs some 15 microseconds: strangers could hold up all others with empty ones.
_SLICE_BYTES = 4096
_MANY_FRAMES, _FRAME_BYTES = 64, 1024
# Browsers send long messages in parts.
_MAX_PARTS = 1024

# A client of which nothing comes for two of these is gone.
_PING_SECONDS = 20.0
# For a client to answer that a connection is to be closed.
_LINGER_SECONDS = 2.0

# The library writes strangers' mistakes to its log, with tracebacks.
_SILENT = logging.getLogger("tritonpose.websockets")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class WebSocketConnection(asyncio.Protocol):
    """Takes a connection over from HTTP, whose request for a WebSocket it hands to the application.

    The limits are those of the settings: a client has to send each message, and to take each
    answer, in time; messages have a size; one that is silent is asked for a sign of life.
    """

    def __init__(self, http: HttpToolsProtocol, limits: RestSettings) -> None:
        self._limits = limits
        self._loop = http.loop
        self._transport = http.transport
        self._connections = cast("set[Any]", http.connections)
        self._headers = http.headers
        self._default_headers = http.server_state.default_headers
        self._parser = Protocol(Side.SERVER, max_size=limits.max_frame_bytes, logger=_SILENT)
        # Bytes of the first message, which may have the key: it is no larger than a head.
        self._early: int | None = 0
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._parts: list[Frame] = []
        self._held = b""
        self._accepted = self._closing = self._lost = self._heard = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._timers: dict[str, TimerHandle] = {}
        self._scope = _scope(http)
        self._connections.discard(http)
        self._connections.add(self)
        self._transport.set_protocol(self)
        self._reading = True
        self._put({"type": "websocket.connect"})
        task = self._loop.create_task(self._run(http.config.loaded_app))
        http.tasks.add(task)
        task.add_done_callback(http.tasks.discard)

    def data_received(self, data: bytes) -> None:
        """Process data from the client, of which what comes behind the end is ignored."""
        self._heard = True
        if not self._accepted:
            # What is said of it would come before the answer to the request.
            if not self._closing:
                self._held += data
            return
        many = _MANY_FRAMES + len(data) // _FRAME_BYTES
        for start in range(0, len(data), _SLICE_BYTES):
            if self._lost or self._parser.parser_exc is not None:
                return
            self._parser.receive_data(data[start : start + _SLICE_BYTES])
            frames = self._parser.events_received()
            many -= len(frames)
            if many < 0:
                self._parser.fail(CloseCode.POLICY_VIOLATION, "too many small frames")
            for frame in frames:
                if isinstance(frame, Frame):
                    self._take(frame)
            self._limit_first(len(data[start : start + _SLICE_BYTES]))
            if not frames or self._parts:
                self._limit("message", self._limits.receive_timeout, self._message_is_late)
            else:
                self._unlimit("message")
            self._flush()
            if self._parser.close_sent is not None and not self._closing:
                # By the parser: a mistake of the client's, or the answer to its end.
                self._end(self._parser.close_sent.code)
                return

    def _take(self, frame: Frame) -> None:
        """Take a frame, of which control frames concern the parser alone."""
        if frame.opcode is Opcode.CLOSE:
            if self._closing:
                self._transport.close()
            return
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) or self._closing:
            return
        self._parts.append(frame)
        if len(self._parts) > _MAX_PARTS:
            self._parser.fail(CloseCode.POLICY_VIOLATION, f"more than {_MAX_PARTS} parts")
        if not frame.fin:
            return
        parts, self._parts = self._parts, []
        self._early = None
        data = b"".join(bytes(part.data) for part in parts)
        if parts[0].opcode is Opcode.BINARY:
            self._put({"type": "websocket.receive", "bytes": data})
            return
        if len(data) > self._limits.max_header_bytes:
            limit = self._limits.max_header_bytes
            self._parser.fail(CloseCode.MESSAGE_TOO_BIG, f"a text is larger than {limit} bytes")
            return
        try:
            self._put({"type": "websocket.receive", "text": data.decode()})
        except UnicodeDecodeError:
            self._parser.fail(CloseCode.INVALID_DATA, "the text is not UTF-8")

    def _limit_first(self, size: int) -> None:
        if self._early is None:
            return
        self._early += size
        limit = self._limits.max_header_bytes
        if self._early > limit:
            self._parser.fail(
                CloseCode.MESSAGE_TOO_BIG, f"the first message is larger than {limit} bytes"
            )

    def _message_is_late(self) -> None:
        seconds = self._limits.receive_timeout
        self._close(CloseCode.POLICY_VIOLATION, f"a message did not arrive within {seconds:g} s")

    def pause_writing(self) -> None:
        """Limit the time in which the client takes what was sent; until then, nothing is read."""
        self._writable.clear()
        self._read_or_wait()
        self._limit("taking", self._limits.send_timeout, self._transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer: the client has taken most of it."""
        self._writable.set()
        self._read_or_wait()
        self._unlimit("taking")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell the application that the client has gone."""
        self._lost = True
        for name in list(self._timers):
            self._unlimit(name)
        self._connections.discard(self)
        # Its parts hold each other: their memory would wait for Python's next garbage collection.
        self._parser.receive_eof()
        self._parser.parser_exc = None
        self._leave(CloseCode.ABNORMAL_CLOSURE)
        self._writable.set()

    def shutdown(self) -> None:
        """Close because the service stops; called by uvicorn."""
        if self._accepted:
            self._close(CloseCode.SERVICE_RESTART, "the service is shutting down")
        else:
            self._transport.close()

    async def receive(self) -> Message:
        """Return the next message for the application."""
        message = await self._messages.get()
        self._read_or_wait()
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the application's; OSError where the client has gone."""
        await self._writable.wait()
        if self._lost or (self._closing and not self._accepted):
            raise ConnectionResetError("the client has closed the connection")
        kind = message["type"]
        if kind == "websocket.accept":
            self._accept(message.get("headers", ()))
        elif kind == "websocket.http.response.start":
            self._write_head(STATUS_LINE[message["status"]], message.get("headers", ()))
        elif kind == "websocket.http.response.body":
            self._transport.write(message.get("body", b""))
            if not message.get("more_body", False):
                self._end(CloseCode.ABNORMAL_CLOSURE)
        elif kind == "websocket.close":
            if self._accepted:
                self._close(message.get("code", CloseCode.NORMAL_CLOSURE), message.get("reason"))
            else:
                self._refuse(HTTPStatus.FORBIDDEN)
        elif not self._closing:
            text, data = message.get("text"), message.get("bytes")
            if text is not None:
                self._parser.send_text(text.encode())
            else:
                self._parser.send_binary(data or b"")
            self._flush()

    async def _run(self, app: Callable[..., Any]) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except OSError:
            # It tried to send to a client that has gone.
            if not self._lost:
                raise
        finally:
            if not (self._closing or self._lost):
                # It failed, which is in the log.
                if self._accepted:
                    self._close(CloseCode.INTERNAL_ERROR, "internal server error")
                else:
                    self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _accept(self, headers: Any) -> None:
        key = websocket_key(Headers(raw=self._headers)) or b""
        digest = sha1(key + _ACCEPTED, usedforsecurity=False).digest()
        upgrade = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", base64.b64encode(digest)),
        ]
        self._write_head(STATUS_LINE[HTTPStatus.SWITCHING_PROTOCOLS], [*upgrade, *headers])
        self._accepted = True
        self._limit("ping", _PING_SECONDS, self._ping)
        held, self._held = self._held, b""
        if held:
            self.data_received(held)

    def _refuse(self, status: HTTPStatus) -> None:
        self._write_head(STATUS_LINE[status], [(b"content-length", b"0")])
        self._end(CloseCode.ABNORMAL_CLOSURE)

    def _write_head(self, status_line: bytes, headers: Any) -> None:
        closing = [] if status_line.split()[1] == b"101" else [(b"connection", b"close")]
        lines = [b"%b: %b\r\n" % each for each in (*self._default_headers, *headers, *closing)]
        self._transport.write(b"".join([status_line, *lines, b"\r\n"]))

    def _ping(self) -> None:
        if not self._heard:
            self._transport.abort()
            return
        self._heard = False
        if not self._closing:
            self._parser.send_ping(b"")
            self._flush()
            self._limit("ping", _PING_SECONDS, self._ping)

    def _close(self, code: int, reason: str | None) -> None:
        """Say that the connection ends, and why."""
        try:
            self._parser.send_close(code, reason or "")
        except InvalidState:
            # Either side has said so before.
            return
        self._flush()
        self._end(code)

    def _end(self, code: int) -> None:
        """End the connection once its client has read what was sent, or its time is over."""
        if self._closing:
            return
        self._closing = True
        self._parts.clear()
        self._unlimit("message")
        self._leave(code)
        if self._accepted and self._parser.close_rcvd is None:
            # What it still sends is read: otherwise it may never see the end, but a broken
            # connection.
            self._limit("end", _LINGER_SECONDS, self._transport.abort)
        else:
            self._transport.close()
            self._limit("end", self._limits.send_timeout, self._transport.abort)

    def _put(self, message: Message) -> None:
        self._messages.put_nowait(message)
        self._read_or_wait()

    def _read_or_wait(self) -> None:
        """Read on only once the application has taken a message, and the client the answers."""
        if self._lost or self._transport.is_closing():
            return
        wanted = self._closing or (self._messages.empty() and self._writable.is_set())
        if wanted and not self._reading:
            self._transport.resume_reading()
        elif self._reading and not wanted:
            self._transport.pause_reading()
        self._reading = wanted

    def _leave(self, code: int) -> None:
        self._put({"type": "websocket.disconnect", "code": int(code)})

    def _flush(self) -> None:
        data = b"".join(self._parser.data_to_send())
        if data and not self._lost:
            self._transport.write(data)

    def _limit(self, name: str, seconds: float, otherwise: Callable[[], None]) -> None:
        """Let something happen unless it is called off in time; a timer that runs goes on."""
        if name == "ping" or name not in self._timers:
            self._timers[name] = self._loop.call_later(seconds, otherwise)

    def _unlimit(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def _scope(http: HttpToolsProtocol) -> Scope:
    target, _, query = http.url.partition(b"?")
    given: Mapping[str, Any] = http.scope
    return {
        **given,
        "type": "websocket",
        "scheme": "wss" if http.scheme == "https" else "ws",
        "path": target.decode("ascii"),
        "raw_path": target,
        "query_string": query,
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
