"""Admit only requests that have an API key."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.rest.responses import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)

# Health checks, and the pages, which are the same everywhere and ask their user for a key when they
# need one: a browser could not send it with its first request.
OPEN_PATHS = frozenset({"/health", "/health/ready", "/", "/docs"})
_OPEN_BELOW = ("/page/", "/docs/")

_ADMITS_KEY = "tritonpose.admits"


class KeyGate:
    """ASGI middleware: answers 401 to requests without a key, before it reads their bodies.

    Browsers can't send one with the request for a WebSocket: its endpoint has to ask `key_check`.
    """

    def __init__(self, app: ASGIApp, digests: Iterable[bytes]) -> None:
        """Wrap an application; a request needs a key with one of the digests."""
        self._app = app
        self._digests = list(digests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket") or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        presented = _presented(Headers(scope=scope))
        in_message = presented is None and scope["type"] == "websocket"
        if in_message:
            scope[_ADMITS_KEY] = self._admits
        if in_message or (presented is not None and self._admits(presented)):
            await self._app(scope, receive, send)
            return
        failure = key_failure(
            presented, "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        )
        response = refusal(scope, failure, {"WWW-Authenticate": "Bearer"})
        await response(scope, receive, send)

    def _admits(self, presented: str) -> bool:
        digest = key_digest(presented)
        # A list: compares all keys, so that the time taken says nothing about which one fits.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)


def key_check(scope: Scope) -> Callable[[str], bool] | None:
    """Return what tells whether a key is valid, where a WebSocket still needs one; else None."""
    admits: Callable[[str], bool] | None = scope.get(_ADMITS_KEY)
    return admits


def key_failure(presented: str | None, advice: str) -> ServiceError:
    """Make the error 401 for a key that is not valid, None for one that is missing."""
    words = f"an API key is needed: {advice}" if presented is None else "the API key is not valid"
    return ServiceError(HTTPStatus.UNAUTHORIZED, words)


def _presented(headers: Headers) -> str | None:
    bearer = _BEARER.fullmatch(headers.get("authorization", "").strip())
    return bearer[1] if bearer else headers.get("x-api-key")


def _is_open(path: str) -> bool:
    return (path.removesuffix("/") or path) in OPEN_PATHS or path.startswith(_OPEN_BELOW)


def key_digest(key: str) -> bytes:
    """Return what to know of a key, and to show in a fault, instead of the key itself."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
