"""Judge the heads of requests, before the application sees them."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools
from starlette.datastructures import Headers

from tritonpose_server.service.contract.failures import ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Header = tuple[bytes, bytes]

TRACK_PATH = "/human-keypoint-detection/track"
"""The only path with a WebSocket; all others ignore that it is asked for."""

# Of RFC 6455.
_WEBSOCKET_VERSION = "13"
_KEY_BYTES = 16

_UPGRADE_HEADERS = frozenset({b"upgrade", b"connection", b"http2-settings"})


def head_problem(url: bytes, headers: Sequence[Header], limit: int) -> ServiceError | None:
    """Return why a complete head is refused, None if it isn't; ``limit`` is its size in bytes."""
    if len(url) + sum(len(name) + len(value) + 4 for name, value in headers) > limit:
        return large_head(f"the headers are larger than {limit} bytes (max_header_bytes)")
    if [name for name, _ in headers].count(b"host") > 1:
        return bad_request("it has several `Host` headers")
    if httptools.parse_url(url).path is None:
        return bad_request("its target has no path")
    return None


def asks_for_websocket(method: bytes, version: str, url: bytes, headers: Sequence[Header]) -> bool:
    """Return whether a request that offers to change the protocol is to become our WebSocket."""
    fields = Headers(raw=list(headers))
    path = url.partition(b"?")[0].decode("latin-1")
    return (
        (method, version) == (b"GET", "1.1")
        and path.removesuffix("/") == TRACK_PATH
        and fields.get("upgrade", "").strip().lower() == "websocket"
        and fields.get("sec-websocket-version", "").strip() == _WEBSOCKET_VERSION
        and websocket_key(fields) is not None
        and fields.get("content-length", "0") == "0"
        and "transfer-encoding" not in fields
    )


def websocket_key(fields: Headers) -> bytes | None:
    """Return the key by which a client knows the answer to its request; None if it is not valid."""
    key = fields.get("sec-websocket-key", "").strip().encode("latin-1")
    try:
        return key if len(base64.b64decode(key, validate=True)) == _KEY_BYTES else None
    except ValueError:
        return None


def without_upgrade(method: bytes, version: str, url: bytes, headers: Sequence[Header]) -> bytes:
    """Write the head of a request again as one that offers no other protocol."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name not in _UPGRADE_HEADERS:
            lines.append(b"%b: %b" % (name, value))
        elif name == b"connection" and b"close" in value.lower():
            lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b""])


def malformed(error: httptools.HttpParserError, first: bytes) -> ServiceError:
    """Say what is wrong with data that is not HTTP/1.1, in its client's terms."""
    if first == b"\x16":
        return bad_request(
            "it is encrypted, and this service is not: use http://, or start it with a certificate"
        )
    if "PRI" in str(error):
        return bad_request("this service speaks HTTP/1.1 only: switch HTTP/2 off in the client")
    # Reasons of the application's half of the parser are errors of their own.
    return bad_request(str(error.__context__ or error)[:200])


def large_head(why: str) -> ServiceError:
    """Make an error 431."""
    return ServiceError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, why)


def bad_request(why: str) -> ServiceError:
    """Make an error 400 of a request that is not HTTP."""
    return ServiceError(HTTPStatus.BAD_REQUEST, f"the request is not valid: {why}")
