"""Runs the REST service until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import uvicorn

from tritonpose_server.ports import bind
from tritonpose_service.rest.app import create_app
from tritonpose_service.rest.settings import RestSettings

LOGGER = logging.getLogger("tritonpose.service")

_POLL_SECONDS = 0.5

# Longer than clients and proxies usually keep idle connections: they close theirs first.
_KEEP_ALIVE_SECONDS = 75


def run_rest(settings: RestSettings, *, ended: Callable[[], bool] = lambda: False) -> None:
    """Serves until SIGINT or SIGTERM, or until the server behind the service is gone.

    Requests under way get ``settings.shutdown_timeout`` seconds to finish; a second SIGINT cuts
    that short. Signals are only heard in the main thread.

    Args:
        settings: How to serve.
        ended: Asked about twice a second whether there is nothing left to serve.

    Raises:
        ConfigError: The URL of the Triton server is wrong.
        ServerError: The address can't be listened on.
    """
    app = create_app(settings)
    # Pictures are drawn side by side, one thread each.
    cv2.setNumThreads(1)
    # What is wrong with an image is told to its sender; the log is not the sender's to fill.
    cv2.setLogLevel(0)
    with bind(settings.host, settings.port) as holder:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            # The application logs requests itself; uvicorn's warnings go the way of all logs.
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(round(settings.shutdown_timeout), 1),
        )
        server = _Server(config, ended)
        server.run(sockets=[holder])
    LOGGER.info("REST service stopped")


class _Server(uvicorn.Server):
    """uvicorn, which stops at a signal without passing it on, and when nothing is left to serve."""

    def __init__(self, config: uvicorn.Config, ended: Callable[[], bool]) -> None:
        super().__init__(config)
        self._ended = ended

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signals again once it has stopped, which would keep our caller
        # from stopping what it has to stop.
        in_main_thread = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if in_main_thread else ()
        handlers = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            LOGGER.info("REST service ready at http://%s", address)
            self._watch = asyncio.create_task(self._stop_when_ended())

    async def _stop_when_ended(self) -> None:
        while not self._ended():
            await asyncio.sleep(_POLL_SECONDS)
        self.should_exit = True
