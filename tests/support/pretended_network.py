"""A network in which tests say what names mean and where addresses lead; nothing leaves it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import httpcore

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request for a path."""


class PretendedNetwork(httpcore.AsyncNetworkBackend):
    """Records what is resolved and connected; refuses all that it isn't told.

    Attributes:
        resolved: Names asked for, in order.
        connected: Addresses and ports, in order.
    """

    def __init__(
        self,
        names: Mapping[str, Sequence[Sequence[str]]],
        places: Mapping[tuple[str, int], int] | None = None,
    ) -> None:
        """Pretend.

        Args:
            names: What each name means, the first time, the second time and so on.
            places: Ports of this machine that addresses and ports lead to.
        """
        self._names = {name: list(answers) for name, answers in names.items()}
        self._places = places or {}
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        """See `tritonpose_server.service.urls.fetching.Resolve`."""
        self.resolved.append(host)
        answers = self._names.get(host)
        if not answers:
            raise OSError(f"{host} is not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def connect_tcp(
        self, host: str, port: int, *args: Any, **options: Any
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if (host, port) not in self._places:
            raise httpcore.ConnectError("nobody is there")
        return await httpcore.AnyIOBackend().connect_tcp(
            "127.0.0.1", self._places[host, port], *args, **options
        )


@contextmanager
def host(answer: Answer, certificate: tuple[str, str] | None = None) -> Iterator[int]:
    """Runs a host on this machine; its port.

    Args:
        answer: Answers each request; the connection is closed after it.
        certificate: Files of certificate and key, for TLS.
    """
    port = 0
    writers: list[asyncio.StreamWriter] = []
    ready, loop, over = Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        nonlocal port
        tls = None
        if certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(*certificate)
        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        server.close()
        answering = asyncio.all_tasks() - {asyncio.current_task()}
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await answer(head.decode(), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    thread = Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
