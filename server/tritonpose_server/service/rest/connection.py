"""Limit what a single connection may do, in ways that uvicorn has no settings for.

Other servers have no settings for these limits either: granian 2.8 and hypercorn 0.18 limit neither
the number of connections nor the time to take an answer, and answer malformed requests with bodies
of their own. So this subclasses uvicorn's protocol, whose names are private: pyproject.toml
allows only the versions that this is tested with, and a test checks that the names exist.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tritonpose_server.service.contract.failures import ServiceError, unavailable
from tritonpose_server.service.contract.schema import choose_log_id
from tritonpose_server.service.rest.observation import ACCESS, AccessLine
from tritonpose_server.service.rest.responses import error_response

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable

    from tritonpose_server.service.rest.settings import RestSettings


def connection_class(settings: RestSettings) -> type[asyncio.Protocol]:
    """Make the class of connections with these limits."""

    class ConfiguredHttpProtocol(LimitedHttpProtocol):
        limits = settings

    return ConfiguredHttpProtocol


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's connection, closed when its client takes too long.

    Requests whose headers don't arrive, are too large or malformed never reach the application, so
    they are answered and logged here. The application itself limits the bodies it reads; the rest
    of a body that it has answered early is limited here.
    """

    limits: RestSettings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the connection; the first request must arrive in time."""
        super().connection_made(transport)
        # Each runs while the client has to send something, or to take something.
        self._sending_timer: TimerHandle | None = None
        self._taking_timer: TimerHandle | None = None
        # Bytes of the headers being received, and number of requests so far.
        self._head_bytes = 0
        self._heads = 0
        self._in_body = False
        if len(self.connections) > self.limits.max_connections:
            self._refuse(unavailable("too many connections are open; try again later"))
        else:
            self._expect(self.limits.header_timeout, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        """Process data from the client."""
        in_head, heads = not self._in_body, self._heads
        super().data_received(data)
        if self.transport.is_closing() or self._in_body:
            return
        if in_head and heads == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_header_bytes:
                self._refuse(
                    ServiceError(
                        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                        f"the headers are larger than {self.limits.max_header_bytes} bytes",
                    )
                )
                return
        answering = self.cycle is not None and not self.cycle.response_complete
        waiting = self._sending_timer is not None or self.timeout_keep_alive_task is not None
        if not answering and not waiting:
            self._expect(self.limits.header_timeout, self._head_is_late)

    def on_headers_complete(self) -> None:
        """Hand a request to the application."""
        self._expect_nothing()
        self._head_bytes = 0
        self._heads += 1
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that a request has arrived completely."""
        self._in_body = False
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
        elif self._in_body:
            # Some clients send everything before they read.
            self._expect(self.limits.receive_timeout, self._close)

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
        """Cancel the timers."""
        self._expect_nothing()
        if self._taking_timer is not None:
            self._taking_timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer data that is not HTTP."""
        self._refuse(ServiceError(HTTPStatus.BAD_REQUEST, msg))

    def _head_is_late(self) -> None:
        if self._head_bytes == 0:
            # Browsers open connections in advance, and may not use them.
            self._close()
            return
        seconds = self.limits.header_timeout
        self._refuse(
            ServiceError(
                HTTPStatus.REQUEST_TIMEOUT, f"the headers did not arrive within {seconds:g} s"
            )
        )

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
