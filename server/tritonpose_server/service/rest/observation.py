"""What is noted of each request: a line in the log, numbers, and what went wrong inside."""

from __future__ import annotations

import json
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from tritonpose_server.service.contract import choose_log_id
from tritonpose_server.service.contract.failures import internal_error
from tritonpose_server.service.rest.metrics import HUNG_UP
from tritonpose_server.service.rest.responses import REQUEST_ID_HEADER, error_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACCESS = logging.getLogger("tritonpose.access")
LOGGER = logging.getLogger("tritonpose.service")

# What monitoring asks every few seconds.
_QUIET_PATHS = frozenset({"/health", "/health/ready", "/metrics"})

_REQUEST_ID_KEY = "tritonpose.request_id"
_NOTES_KEY = "tritonpose.notes"

_QUOTED = frozenset({"path", "refused"})


def request_id(scope: Scope) -> str:
    """The name of a request: that of its body, else of its header, else a new one."""
    if _REQUEST_ID_KEY not in scope:
        scope[_REQUEST_ID_KEY] = choose_log_id(Headers(scope=scope).get(REQUEST_ID_HEADER))
    name: str = scope[_REQUEST_ID_KEY]
    return name


def name_request(scope: Scope, log_id: str | None) -> None:
    """Says what the body of a request calls it, if anything."""
    if log_id is not None:
        scope[_REQUEST_ID_KEY] = log_id


def note(scope: Scope, **fields: int | str) -> None:
    """Adds fields to the request's line in the log; `reason` is for the metrics, too."""
    scope.setdefault(_NOTES_KEY, {}).update(fields)


class Observation:
    """ASGI middleware: logs and counts each request, answers 500 where the application fails.

    A line has the fields `request_id` (the answer's ``logId``), `client`, `method`, `path`,
    `status`, `received` and `sent` (bytes of the bodies), `ms`, what `note` added, and `trace_id`
    where there are traces; nothing of a body's content.
    """

    def __init__(
        self,
        app: ASGIApp,
        count: Callable[[str, int, float, str | None], None],
        trace_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            count: Called for each request with its path, status, seconds and, where one was
                noted, the reason for having no result.
            trace_id: Tells which trace a request belongs to, None for none.
        """
        self._app = app
        self._count = count
        self._trace_id = trace_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        seen = _Seen(scope, receive, send)
        try:
            await self._app(scope, seen.receive, seen.send)
        except ClientDisconnect:
            seen.status = HUNG_UP
        except Exception:
            name = request_id(scope)
            LOGGER.exception("request_id=%s failed", name, extra={"request_id": name})
            if seen.begun:
                raise  # The answer has begun: the server can only cut it off.
            failure = error_response(internal_error(), request_id(scope))
            await failure(scope, receive, seen.send)
        finally:
            seconds = time.perf_counter() - started
            notes = scope.get(_NOTES_KEY, {})
            self._count(scope["path"], seen.status, seconds, notes.get("reason"))
            if scope["path"] not in _QUIET_PATHS:
                trace_id = self._trace_id()
                traced = {} if trace_id is None else {"trace_id": trace_id}
                ACCESS.info(_access_line(scope, seen, seconds, notes | traced))


class _Seen:
    """Passes the messages of a request on and remembers what was in them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.begun = False
        # Unless an answer says otherwise.
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        self.received = 0
        self.sent = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            # Files of the pages, too, whose answers are made by others.
            MutableHeaders(scope=message).setdefault(REQUEST_ID_HEADER, request_id(self._scope))
        self.sent += len(message.get("body", b""))
        await self._send(message)


class AccessLine(dict[str, "int | float | str"]):
    """Fields of a line in the log: written as JSON where the log is, else as ``key=value``."""

    def __str__(self) -> str:
        return " ".join(f"{key}={_plain(key, value)}" for key, value in self.items())


def _plain(key: str, value: float | str) -> str:
    # Quoted, for they may hold anything, line breaks included.
    return json.dumps(value) if key in _QUOTED else str(value)


def _access_line(
    scope: Scope, seen: _Seen, seconds: float, notes: Mapping[str, int | str]
) -> AccessLine:
    client = scope.get("client")
    return AccessLine(
        request_id=request_id(scope),
        client=client[0] if client else "-",
        method=scope["method"],
        path=scope["path"][:200],
        status=seen.status,
        received=seen.received,
        sent=seen.sent,
        ms=round(seconds * 1000, 1),
        **notes,
    )
