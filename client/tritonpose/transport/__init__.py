"""The ways to reach a server; the URL's scheme picks one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tritonpose.errors import ConfigError

if TYPE_CHECKING:
    from tritonpose.transport.messages import PoseRequest, PoseResponse


class Transport(Protocol):
    """A connection to one server. Safe to use from several threads."""

    def infer(self, request: PoseRequest) -> PoseResponse:
        """Sends one request and waits for its response.

        Raises:
            InvalidRequestError: The server refused the request.
            ModelNotFoundError: The server lacks the pipeline or a model named in the request.
            ServerUnavailableError: No connection, or the server has no room now.
            DeadlineExceededError: No response within the timeout.
            ServerError: Anything else.
        """

    def close(self) -> None:
        """Closes the connection; requests after it fail."""


def connect(url: str, timeout: float = 60.0) -> Transport:
    """Prepares a connection; it is made with the first request.

    Args:
        url: ``grpc://host:port`` or ``http://host:port``.
        timeout: Seconds that each request may take.

    Raises:
        ConfigError: The URL or the timeout is wrong.
    """
    if not (isinstance(timeout, int | float) and math.isfinite(timeout) and timeout > 0):
        raise ConfigError(f"timeout={timeout!r}: expected a positive number of seconds")
    scheme, address = _parse(url)
    if scheme == "grpc":
        from tritonpose.transport.grpc import GrpcTransport

        return GrpcTransport(address, timeout)
    from tritonpose.transport.http import HttpTransport

    return HttpTransport(address, timeout)


def _parse(url: str) -> tuple[str, str]:
    """Splits a URL into its scheme, grpc or http, and ``host:port``; raises ConfigError."""
    expected = "expected grpc://HOST:PORT or http://HOST:PORT"
    parts = urlsplit(url)
    if parts.scheme not in ("grpc", "http"):
        raise ConfigError(f"url={url!r}: {expected} (encrypted connections aren't supported yet)")
    try:
        complete = bool(parts.hostname and parts.port)
    except ValueError:  # the port is no number
        complete = False
    if not complete or parts.path.strip("/") or parts.query or parts.username:
        raise ConfigError(
            f"url={url!r}: {expected}, such as {parts.scheme}://localhost:"
            f"{8001 if parts.scheme == 'grpc' else 8000}"
        )
    return parts.scheme, parts.netloc
