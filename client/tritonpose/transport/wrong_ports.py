"""Tell what answers at an address that doesn't answer as expected, such as the REST service's."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tritonpose.errors import TritonPoseError

_SECONDS = 0.5
_MOST_BYTES = 4096
_QUESTION = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def explain_port(error: TritonPoseError, url: str) -> TritonPoseError:
    """Replace the message of a failed request where another kind of server answers at the URL.

    Asks it, for about a second. Errors with a code are Triton's own and stay as they are.
    """
    scheme = urlsplit(url).scheme
    if error.code is None and scheme in ("grpc", "http"):
        found = _found(scheme, _answer(url))
        if found is not None:
            error.args = (f"{url} can't be used: {found}",)
    return error


def _found(scheme: str, answer: bytes) -> str | None:
    """Say what answered, if that is not what the scheme promises."""
    if b'"logId"' in answer:
        return (
            "tritonpose's REST service answers there (port 8080 by default). Give Triton's own "
            "address, which is grpc://HOST:8001 or http://HOST:8000 by default"
        )
    if answer.startswith((b"\x15\x03", b"\x16\x03")):
        return f"a server with encryption answers there: write {scheme}s://"
    # The frame with which every HTTP/2 server begins.
    if answer[3:4] == b"\x04" and answer[:2] == b"\0\0":
        if scheme == "grpc":
            return None
        return (
            "a gRPC server answers there: write grpc:// instead of http://, or give Triton's "
            "HTTP port, 8000 by default"
        )
    if not answer.startswith(b"HTTP/"):
        return None
    if scheme == "http":
        # Triton's own answer has no body.
        if not re.search(rb"(?i)\r\ncontent-type: *text/html", answer.partition(b"\r\n\r\n")[0]):
            return None
        return (
            "a web server answers there, not Triton. Triton's own address is http://HOST:8000 or "
            "grpc://HOST:8001 by default"
        )
    status, _, rest = answer.partition(b"\r\n")
    # Triton's says it all by the status.
    if status.endswith(b" 200 OK") and rest.endswith(b"\r\n\r\n"):
        return (
            "Triton's HTTP port answers there: write http:// instead of grpc://, or give its gRPC "
            "port, 8001 by default"
        )
    return (
        "a web server answers there, not Triton's gRPC. Triton's own address is grpc://HOST:8001 "
        "or http://HOST:8000 by default"
    )


def _answer(url: str) -> bytes:
    """Return the beginning of what a server says to an HTTP request; empty if it says nothing."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port or 0), _SECONDS) as connection:
            connection.sendall(_QUESTION)
            answer = b""
            deadline = time.monotonic() + _SECONDS
            while len(answer) < _MOST_BYTES and (part := connection.recv(_MOST_BYTES)):
                answer += part
                # Some servers send a little now and then, without end.
                if answer[:5] != b"HTTP/" or time.monotonic() > deadline:
                    break
            return answer
    except (OSError, ValueError):
        return b""
