"""Admit only requests that have an API key."""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from tritonpose.errors import ConfigError
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.rest.responses import error_response, request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOGGER = logging.getLogger("tritonpose.service")

# Too long to guess, and safe in a header and in a list.
_KEY = re.compile(r"[!-+\--~]{16,256}")

_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)

# Health checks, and the pages, which are the same everywhere and ask their user for a key when they
# need one: a browser could not send it with its first request.
OPEN_PATHS = frozenset({"/health", "/health/ready", "/", "/docs"})
_OPEN_BELOW = ("/page/", "/docs/")

_ADMITS_KEY = "tritonpose.admits"


def parse_keys(text: str, origin: str) -> tuple[str, ...]:
    """Parse keys, separated by commas or line breaks; lines that begin with ``#`` are skipped.

    Raises ConfigError, whose message names ``origin`` and shows no key, if there are no keys, or
    one is too short or has unusable characters.
    """
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    keys = [key.strip() for line in lines for key in line.split(",") if key.strip()]
    if not keys:
        raise ConfigError(f"{origin} has no API key: add one, or leave this option out")
    for number, key in enumerate(keys, 1):
        if not _KEY.fullmatch(key):
            raise ConfigError(
                f"API key {number} of {origin} is not valid: it needs 16 to 256 printable ASCII "
                "characters without blanks and commas; make one with `openssl rand -hex 32`"
            )
    return tuple(keys)


def read_keys(path: str) -> tuple[str, ...]:
    """Read the keys in a file; ConfigError if that fails or `parse_keys` refuses its content."""
    warn_of_readers(path)
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the API keys in {path!r}: {error}") from error
    return parse_keys(text, repr(path))


def warn_of_readers(path: str) -> None:
    """Warn if other users can read a file that holds a secret."""
    with contextlib.suppress(OSError):
        status = Path(path).stat()
        # Where the file is another user's, its group may be how this one reads it.
        others = 0o077 if status.st_uid == os.getuid() else 0o007
        if status.st_mode & others:
            LOGGER.warning("other users can read the secret in %r: chmod 600 it", path)


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
        refusal = error_response(failure, request_id(scope), {"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)

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
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
