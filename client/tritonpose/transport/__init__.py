"""Connections to servers; the URL's scheme picks the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpose.transport.connection import DEFAULT_TIMEOUT_SECONDS, Connection
from tritonpose.transport.failover import AsyncTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Unpack

    from tritonpose.transport.connection import ConnectionOptions
    from tritonpose.transport.failover import AsyncServer, Server

__all__ = ["AsyncTransport", "Transport", "connect", "connect_async"]


def connect(
    url: str | Sequence[str],
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    **options: Unpack[ConnectionOptions],
) -> Transport:
    """Prepare a connection, made with the first request; see `Connection.from_options`."""
    connection = Connection.from_options(url, timeout, **options)
    kind = _kinds(connection)[0]
    servers = [kind(address, connection) for address in connection.addresses]
    return Transport(servers, connection.timeout, connection.retries)


def connect_async(
    url: str | Sequence[str],
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    **options: Unpack[ConnectionOptions],
) -> AsyncTransport:
    """Prepare a connection for asyncio; the first request makes it, in its event loop."""
    connection = Connection.from_options(url, timeout, **options)
    kind = _kinds(connection)[1]
    servers = [kind(address, connection) for address in connection.addresses]
    return AsyncTransport(servers, connection.timeout, connection.retries)


def _kinds(
    connection: Connection,
) -> tuple[Callable[[str, Connection], Server], Callable[[str, Connection], AsyncServer]]:
    """Import a protocol's classes, which takes longer than importing the rest of the client."""
    if connection.scheme in ("grpc", "grpcs"):
        from tritonpose.transport.grpc import AsyncGrpcServer, GrpcServer

        return GrpcServer, AsyncGrpcServer
    from tritonpose.transport.http import AsyncHttpServer, HttpServer

    return HttpServer, AsyncHttpServer
