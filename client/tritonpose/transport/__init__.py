"""The ways to reach servers; the URL's scheme picks one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tritonpose.transport.connection import DEFAULT_TIMEOUT_SECONDS, Connection
from tritonpose.transport.retrying import AsyncRetryingTransport, RetryingTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from tritonpose.transport.connection import ConnectionOptions
    from tritonpose.transport.messages import InferRequest, PoseResponse
    from tritonpose.transport.retrying import AsyncServer, Server


class Transport(Protocol):
    """A connection to one or several servers. Safe to use from several threads."""

    def infer(self, request: InferRequest) -> PoseResponse:
        """Sends one request and waits for its response.

        Raises:
            InvalidRequestError: The server refused the request.
            AccessDeniedError: The server refused the credentials.
            ModelNotFoundError: The server lacks the pipeline or a model named in the request.
            ServerUnavailableError: No connection, or no server has room now, after all retries.
            DeadlineExceededError: No response within the timeout.
            ServerError: Anything else.
            RuntimeError: The transport is closed.
        """

    def close(self) -> None:
        """Closes the connection; requests after it fail."""


class AsyncTransport(Protocol):
    """A connection to one or several servers, for one event loop."""

    async def infer(self, request: InferRequest) -> PoseResponse:
        """Sends one request and waits for its response; raises what `Transport.infer` raises.

        Cancelling it cancels the request.
        """

    async def is_ready(self, timeout: float) -> bool:
        """Whether a server says, within so many seconds, that it serves the pipeline now."""

    async def close(self) -> None:
        """Closes the connection; requests after it fail."""


def connect(
    url: str | Sequence[str],
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    **options: Unpack[ConnectionOptions],
) -> Transport:
    """Prepares a connection; it is made with the first request.

    Args:
        url: Of one server or several; see `Connection.from_options`.
        timeout: Seconds that each request may take, over all attempts.
        **options: Further arguments of `Connection.from_options`.

    Raises:
        ConfigError: An argument is wrong.
    """
    connection = Connection.from_options(url, timeout, **options)
    servers: list[Server]
    if connection.scheme in ("grpc", "grpcs"):
        from tritonpose.transport.grpc import GrpcServer

        servers = [GrpcServer(address, connection) for address in connection.addresses]
    else:
        from tritonpose.transport.http import HttpServer

        servers = [HttpServer(address, connection) for address in connection.addresses]
    return RetryingTransport(servers, connection.timeout, connection.retries)


def connect_async(
    url: str | Sequence[str],
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    **options: Unpack[ConnectionOptions],
) -> AsyncTransport:
    """Prepares a connection for asyncio; it is made with the first request.

    So this needs no event loop; the first request binds the transport to its own.

    Args:
        url: Of one server or several; see `Connection.from_options`.
        timeout: Seconds that each request may take, over all attempts.
        **options: Further arguments of `Connection.from_options`.

    Raises:
        ConfigError: An argument is wrong.
    """
    connection = Connection.from_options(url, timeout, **options)
    servers: list[AsyncServer]
    if connection.scheme in ("grpc", "grpcs"):
        from tritonpose.transport.grpc import AsyncGrpcServer

        servers = [AsyncGrpcServer(address, connection) for address in connection.addresses]
    else:
        from tritonpose.transport.http_async import AsyncHttpServer

        servers = [AsyncHttpServer(address, connection) for address in connection.addresses]
    return AsyncRetryingTransport(servers, connection.timeout, connection.retries)
