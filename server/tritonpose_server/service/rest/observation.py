"""Observe each request: a line in the log, numbers for the metrics, faults of the application."""

from __future__ import annotations

import json
import logging
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from tritonpose_server.service.contract.failures import internal_error
from tritonpose_server.service.rest.browsers import BROWSER_HEADERS
from tritonpose_server.service.rest.responses import (
    LOG_FIELDS_KEY,
    REQUEST_ID_HEADER,
    refusal,
    request_id,
)
from tritonpose_server.service.rest.telemetry import HUNG_UP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tritonpose_server.service.rest.telemetry import RestMetrics, RestTracing

ACCESS = logging.getLogger("tritonpose.access")
LOGGER = logging.getLogger("tritonpose.service")

# Monitoring asks for these every few seconds.
_QUIET_PATHS = frozenset({"/health", "/health/ready", "/metrics"})

_QUOTED = frozenset({"path", "refused"})
_PLAIN = re.compile(r"[!#-\[\]-~]+")


class Observation:
    """ASGI middleware around all others: logs and counts requests, answers 500 to faults.

    It also adds to every answer the headers for browsers and the id of the request.

    A line has the fields `request_id` (the answer's ``logId``), `client`, `method`, `path`,
    `status`, `received` and `sent` (bytes of the bodies), `ms`, those of
    `responses.add_log_fields`, and `trace_id` where there are traces; nothing of a body's content.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: RestMetrics,
        tracing: RestTracing,
        counted_path: str,
        batch_path: str,
    ) -> None:
        """Wrap an application.

        ``counted_path`` is the path whose requests count, ``batch_path`` the one of which only
        failures do: the service counts the images.
        """
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._counted_path = counted_path
        self._batch_path = batch_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        seen = _Exchange(scope, receive, send)
        try:
            await self._app(scope, seen.receive, seen.send)
        except (ClientDisconnect, ConnectionResetError):
            seen.status = HUNG_UP
        except Exception:
            log_id = request_id(scope)
            LOGGER.exception("request_id=%s failed", log_id, extra={"request_id": log_id})
            if seen.begun:
                raise  # The answer has begun: the server can only cut it off.
            await refusal(scope, internal_error())(scope, receive, seen.send)
        finally:
            seconds = time.perf_counter() - started
            fields = scope.get(LOG_FIELDS_KEY, {})
            path = scope["path"].removesuffix("/")
            failed = seen.status >= HTTPStatus.BAD_REQUEST
            if path == self._counted_path or (path == self._batch_path and failed):
                self._metrics.count_request(seen.status, seconds, fields.get("reason"))
            if path not in _QUIET_PATHS:
                trace_id = self._tracing.trace_id()
                traced = {} if trace_id is None else {"trace_id": trace_id}
                ACCESS.info(_access_line(scope, seen, seconds, fields | traced))


class _Exchange:
    """Passes the messages of a request on and measures them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._asked = False
        self.begun = False
        # Unless an answer says otherwise.
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        self.received = 0
        self.sent = 0

    async def receive(self) -> Message:
        self._asked = True
        message = await self._receive()
        self.received += _size(message)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.begun = True
            self.status = int(HTTPStatus.SWITCHING_PROTOCOLS)
        if message["type"].endswith("http.response.start"):
            self.begun = True
            self.status = int(message["status"])
            # Headers that the application sets itself stay as they are.
            headers = MutableHeaders(scope=message)
            for name, value in BROWSER_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault(REQUEST_ID_HEADER, request_id(self._scope))
            if not self._asked and "expect" in Headers(scope=self._scope):
                # Whether the client now sends the body that it has announced can't be known.
                headers["Connection"] = "close"
        self.sent += _size(message)
        await self._send(message)


def _size(message: Message) -> int:
    content = message.get("body") or message.get("bytes") or message.get("text") or b""
    return len(content)


class AccessLine(dict[str, "int | float | str"]):
    """Fields of a line in the log: written as JSON where the log is, else as ``key=value``."""

    def __str__(self) -> str:
        return " ".join(f"{key}={_plain(key, value)}" for key, value in self.items())


def _plain(key: str, value: float | str) -> str:
    # A client may have written it, with line breaks or what looks like another field.
    text = str(value)
    return json.dumps(text) if key in _QUOTED or not _PLAIN.fullmatch(text) else text


def _access_line(
    scope: Scope, seen: _Exchange, seconds: float, fields: Mapping[str, int | str]
) -> AccessLine:
    client = scope.get("client")
    return AccessLine(
        request_id=request_id(scope),
        client=client[0] if client else "-",
        method=scope.get("method", "GET"),
        path=scope["path"][:200],
        status=seen.status,
        received=seen.received,
        sent=seen.sent,
        ms=round(seconds * 1000, 1),
        **fields,
    )
