"""Limit what a single connection may do, in ways that uvicorn has no settings for.

Other servers have no settings for these limits either: granian 2.8 and hypercorn 0.18 limit neither
the number of connections nor the time to take an answer, and answer malformed requests with bodies
of their own. uvicorn's other parser, h11, is in Python: a packet of one-byte chunks holds up the
event loop for 0.2 s, with httptools for 3 ms. So this subclasses uvicorn's protocol, whose names
are private: pyproject.toml allows only the versions that this is tested with, and a test checks
that the names exist.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tritonpose_server.service.contract.failures import ServiceError, unavailable
from tritonpose_server.service.contract.schema import choose_log_id
from tritonpose_server.service.rest.heads import (
    asks_for_websocket,
    bad_request,
    head_problem,
    large_head,
    malformed,
    without_upgrade,
)
from tritonpose_server.service.rest.observation import ACCESS, AccessLine
from tritonpose_server.service.rest.responses import error_response
from tritonpose_server.service.rest.websocket import WebSocketConnection

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from tritonpose_server.service.rest.settings import RestSettings

# What is parsed at once, so that the limits are looked at in between.
_SLICE_BYTES = 65_536

_MAX_HEADERS = 128

# Requests sent before the answer to an earlier one.
_MAX_QUEUED = 8


def connection_class(settings: RestSettings) -> type[asyncio.Protocol]:
    """Make the class of connections with these limits."""

    class ConfiguredHttpProtocol(LimitedHttpProtocol):
        limits = settings

    return ConfiguredHttpProtocol


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's connection, closed when its client takes too long or sends too much.

    Requests whose headers don't arrive, are too large or malformed never reach the application, so
    they are answered and logged here. The application itself limits the bodies it reads; the rest
    of a body that it has answered early is limited here.

    Where a client sends what can't be served while an earlier request is worked on, that one is
    answered, the rest is ignored, and the connection closed.
    """

    limits: RestSettings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the connection; the first request must arrive in time."""
        super().connection_made(transport)
        # Each runs while the client has to send something, or to take something.
        self._sending_timer: TimerHandle | None = None
        self._taking_timer: TimerHandle | None = None
        # Bytes since the last part of a body, or the last complete head or request.
        self._overhead = 0
        self._head_begun = False
        self._in_body = False
        # Of one body, from the data that is being parsed.
        self._parts: list[bytes] = []
        self._upgrading = False
        # Whether all that comes is ignored, and why the parser was stopped.
        self._deaf = False
        self._refusal: ServiceError | None = None
        # The request that the application works on; uvicorn's `cycle` is the latest one.
        self._working: RequestResponseCycle | None = None
        if len(self.connections) > self.limits.max_connections:
            why = "too many connections are open (max_connections); try again later"
            self._refuse(unavailable(why))
        else:
            self._expect(self.limits.header_timeout, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        """Process data from the client."""
        if self._deaf:
            self._overhead += len(data)
            if self._overhead > self.limits.max_body_bytes:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        while rest and not (self._deaf or self.transport.is_closing()):
            rest = self._parse(rest)
        if self._deaf or self._in_body or self.transport.is_closing():
            return
        waiting = self._sending_timer is not None or self.timeout_keep_alive_task is not None
        if not self._answering() and not waiting:
            self._expect(self.limits.header_timeout, self._head_is_late)

    def _parse(self, data: memoryview) -> memoryview:
        """Parse some of the data; returns the rest."""
        part = data[:_SLICE_BYTES]
        self._overhead += len(part)
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade as upgrade:
            return self._change_protocol(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._parts.clear()
            refusal, self._refusal = self._refusal, None
            if refusal is not None:
                # Its frames hold it, and the data, until the next garbage collection.
                refusal.__traceback__ = None
            self._reject(refusal or malformed(error, bytes(part[:1])))
        else:
            self._pass_on()
            if self._overhead > self.limits.max_header_bytes:
                self._reject(self._too_large())
        return data[len(part) :]

    def _change_protocol(self, rest: memoryview) -> memoryview:
        """Become a WebSocket where that is asked for; else go on without what was offered.

        Returns what is to be parsed of the ``rest`` of the data.
        """
        self._upgrading = False
        head = (self.parser.get_method(), self.parser.get_http_version(), self.url, self.headers)
        limit = self.limits.max_header_bytes
        wanted = asks_for_websocket(*head) and head_problem(self.url, self.headers, limit) is None
        if wanted and not (self._answering() or self.pipeline):
            self._deaf = True
            self._expect_nothing()
            WebSocketConnection(self, self.limits).data_received(bytes(rest))
            self.parser = None  # type: ignore[assignment]  # it refers to this connection
            return rest[:0]
        # The old parser takes the body of the request for the other protocol's.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._overhead = 0
        plain = memoryview(without_upgrade(*head))
        while plain and not self._deaf:
            plain = self._parse(plain)
        return rest

    def on_message_begin(self) -> None:
        """Begin a request, unless too many wait already."""
        if len(self.pipeline) >= _MAX_QUEUED:
            self._stop(unavailable("too many requests were sent before an answer; try again later"))
        self._head_begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what follows a body in chunks is nothing that we use."""
        if self._in_body:
            return
        if len(self.headers) >= _MAX_HEADERS:
            self._stop(large_head(f"the request has more than {_MAX_HEADERS} headers"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand a request to the application."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrading = True
            return
        problem = head_problem(self.url, self.headers, self.limits.max_header_bytes)
        if problem is not None:
            self._stop(problem)
        if self.parser.get_http_version() == "1.0":
            # Its clients don't know that answer.
            self.expect_100_continue = False
        self._expect_nothing()
        self._overhead = 0
        self._head_begun = False
        self._in_body = True
        super().on_headers_complete()
        if self.cycle is not self._working:
            # uvicorn stops reading while a request waits, and would miss a hang-up.
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._working = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body, which may be a single byte; requests that wait must be small."""
        self._overhead = 0
        self._parts.append(body)
        if self.cycle is not self._working:
            self._pass_on()
            if len(self.cycle.body) > HIGH_WATER_LIMIT:
                self._stop(unavailable("a request was sent before an answer; try again later"))

    def _pass_on(self) -> None:
        """Pass on the parts that came together, at once: each costs more than its bytes."""
        if self._parts:
            parts, self._parts = self._parts, []
            super().on_body(b"".join(parts))

    def on_message_complete(self) -> None:
        """Note that a request has arrived completely."""
        if self._upgrading:
            return
        self._overhead = 0
        self._in_body = False
        self._pass_on()
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            # uvicorn starts this timer with its answer, and the rest of the body has stopped it.
            self._expect_nothing()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this one."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif self._answering():
            pass
        elif self._in_body:
            # Some clients send everything before they read.
            self._expect(self.limits.receive_timeout, self._close)
        elif self._head_begun:
            self._expect(self.limits.header_timeout, self._head_is_late)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        self._close()

    def pause_writing(self) -> None:
        """Limit the time in which the client takes what was sent."""
        super().pause_writing()
        self._must_take()

    def resume_writing(self) -> None:
        """Stop that timer: the client has taken most of it."""
        super().resume_writing()
        if self._taking_timer is not None and not self.transport.is_closing():
            self._taking_timer.cancel()
            self._taking_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers, and the work for the client."""
        self._expect_nothing()
        if self._taking_timer is not None:
            self._taking_timer.cancel()
        # uvicorn itself does so for the latest request only, which may still wait for others.
        self.pipeline.clear()
        self._leave()
        super().connection_lost(exc)
        # They refer to this connection, too: it would wait for Python's garbage collection.
        self.cycle = self._working = self.parser = None  # type: ignore[assignment]

    def _head_is_late(self) -> None:
        if not (self._head_begun or self._overhead):
            # Browsers open connections in advance, and may not use them.
            self._close()
            return
        seconds = self.limits.header_timeout
        words = f"the headers did not arrive within {seconds:g} s (header_timeout)"
        self._refuse(ServiceError(HTTPStatus.REQUEST_TIMEOUT, words))

    def _answering(self) -> bool:
        return self._working is not None and not self._working.response_complete

    def _leave(self) -> None:
        """Tell the application that nobody waits for its answer."""
        if self._working is not None and not self._working.response_complete:
            self._working.disconnected = True
            self._working.message_event.set()

    def _stop(self, error: ServiceError) -> None:
        """Stop the parser, which calls this, and refuse the request."""
        self._refusal = error
        raise error

    def _reject(self, error: ServiceError) -> None:
        """Refuse what is being received; an earlier request gets its answer first."""
        self._deaf = True
        working = self._working
        if working is None or not self._answering():
            self._refuse(error)
        elif working is self.cycle and self._in_body and not working.response_started:
            self._leave()
            self._refuse(error)
        else:
            working.keep_alive = False
            self.pipeline.clear()
            self.flow.resume_reading()

    def _too_large(self) -> ServiceError:
        limit = self.limits.max_header_bytes
        if self._in_body:
            return bad_request(f"more than {limit} bytes of its body are neither data nor chunks")
        return large_head(f"the headers are larger than {limit} bytes (max_header_bytes)")

    def _refuse(self, error: ServiceError) -> None:
        log_id = choose_log_id()
        answer = error_response(error, log_id)
        headers = [*self.server_state.default_headers, *answer.raw_headers, CLOSE_HEADER]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[error.status] + lines + b"\r\n" + bytes(answer.body))
        line = AccessLine(
            request_id=log_id,
            client=self.client[0] if self.client else "-",
            status=error.status.value,
            refused=error.message,
        )
        ACCESS.info(line)
        self._close()

    def _expect(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._expect_nothing()
        self._sending_timer = self.loop.call_later(seconds, otherwise)

    def _expect_nothing(self) -> None:
        if self._sending_timer is not None:
            self._sending_timer.cancel()
            self._sending_timer = None

    def _must_take(self) -> None:
        if self._taking_timer is None:
            self._taking_timer = self.loop.call_later(
                self.limits.send_timeout, self.transport.abort
            )

    def _close(self) -> None:
        """Close once the client has taken what was written, or its time is over."""
        self._expect_nothing()
        self.transport.close()
        self._must_take()
