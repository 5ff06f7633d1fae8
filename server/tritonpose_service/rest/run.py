"""Runs the REST service until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address

import cv2
import uvicorn

from tritonpose_server.ports import bind
from tritonpose_service.rest.app import create_app
from tritonpose_service.rest.connection import connection_class
from tritonpose_service.rest.settings import RestSettings

LOGGER = logging.getLogger("tritonpose.service")

_POLL_SECONDS = 0.5


def run_rest(settings: RestSettings, *, ended: Callable[[], bool] = lambda: False) -> None:
    """Serves until SIGINT or SIGTERM, or until the server behind the service is gone.

    Requests under way get ``settings.shutdown_timeout`` seconds to finish; a second SIGINT cuts
    that short. Signals are only heard in the main thread.

    Args:
        settings: How to serve.
        ended: Asked about twice a second whether there is nothing left to serve.

    Raises:
        ConfigError: The URL of the Triton server is wrong, or the certificate can't be used.
        ServerError: The address can't be listened on.
    """
    settings.check_certificate()
    app = create_app(settings)
    # Pictures are drawn side by side, one thread each.
    cv2.setNumThreads(1)
    # What is wrong with an image is told to its sender; the log is not the sender's to fill.
    cv2.setLogLevel(0)
    with bind(settings.host, settings.port) as holder:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=connection_class(settings),
            ws="none",
            lifespan="on",
            # The application logs requests itself; uvicorn's warnings go the way of all logs.
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            ssl_certfile=settings.cert_file,
            ssl_keyfile=settings.key_file,
            timeout_keep_alive=round(settings.keep_alive_timeout),
            timeout_graceful_shutdown=max(round(settings.shutdown_timeout), 1),
        )
        server = _Server(config, settings, ended)
        server.run(sockets=[holder])
    LOGGER.info("REST service stopped")


class _Server(uvicorn.Server):
    """uvicorn, which stops at a signal without passing it on, and when nothing is left to serve."""

    def __init__(
        self, config: uvicorn.Config, settings: RestSettings, ended: Callable[[], bool]
    ) -> None:
        super().__init__(config)
        self._settings = settings
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
            address = replace(self._settings, host=host, port=port).address
            LOGGER.info("REST service ready at %s", address)
            if not (self._settings.api_keys or ip_address(host).is_loopback):
                LOGGER.warning("other machines can use it without an API key")
            self._watch = asyncio.create_task(self._stop_when_ended())

    async def _stop_when_ended(self) -> None:
        while not self._ended():
            await asyncio.sleep(_POLL_SECONDS)
        self.should_exit = True
