"""Connections to public addresses, and to no others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore

from tritonpose_server.service.urls.addresses import is_public
from tritonpose_server.service.urls.policy import RefusedError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the IP addresses of a host, at least one; raises OSError if there are none."""

# Threads of their own: a name server that is silent keeps each for half a minute.
_RESOLVERS = ThreadPoolExecutor(16, thread_name_prefix="resolve")


async def resolve(host: str, port: int) -> list[str]:
    """Asks the system for the addresses of a host; see `Resolve`."""
    found = await asyncio.get_running_loop().run_in_executor(
        _RESOLVERS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return [str(address[0]) for *_, address in found]


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a name once and connects to what was found, if all of it is public.

    Between the check and the connection the name is not looked up again, so a name server that
    gives another answer the second time gains nothing.
    """

    def __init__(self, resolve: Resolve, network: httpcore.AsyncNetworkBackend) -> None:
        """Wrap a network.

        Args:
            resolve: Gives the addresses of a host.
            network: Makes the connections; is given addresses only.
        """
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects to the first address of a host that answers.

        Raises:
            RefusedError: One of its addresses is not public.
            httpcore.ConnectError: It has no address, or none answers.
        """
        try:
            addresses = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("its name can't be resolved") from error
        if not all(map(is_public, addresses)):
            # Without the address, which is not everybody's business.
            raise RefusedError("its host has an address that is not public")
        failure = httpcore.ConnectError("its name has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:  # noqa: PERF203 (few, and none is quick)
                failure = error
        raise failure
