"""Run the REST service until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from ipaddress import ip_address
from types import FrameType

import uvicorn

from tritonpose_pipeline.memory import release_freed_memory
from tritonpose_pipeline.opencv import set_up_opencv
from tritonpose_server.ports import bind
from tritonpose_server.service.rest.app import create_app
from tritonpose_server.service.rest.connection import connection_class
from tritonpose_server.service.rest.limits import Slots
from tritonpose_server.service.rest.settings import RestSettings

LOGGER = logging.getLogger("tritonpose.service")

_POLL_SECONDS = 0.5
_RELEASE_SECONDS = 5.0
_DRAIN_POLL_SECONDS = 0.05


def run_rest(
    settings: RestSettings,
    *,
    listener: socket.socket | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Serve until SIGINT or SIGTERM, or until the server behind the service is gone.

    Then the service is not ready and refuses requests, while those in flight get
    ``settings.shutdown_timeout`` seconds to finish; a second signal cuts that short. Signals are
    only handled in the main thread. A ``listener`` is bound to the address in the settings, and
    left open; ``ended`` is called about twice a second and returns whether to stop.

    Raises ConfigError if the URL of the Triton server is wrong, or the certificate can't be used;
    EmbeddedServerError if the address can't be listened on.
    """
    settings.check_certificate()
    slots = Slots(settings.in_flight_limit)
    app = create_app(settings, slots)
    set_up_opencv()
    with nullcontext(listener) if listener else bind(settings.host, settings.port) as holder:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=connection_class(settings),
            ws="none",
            lifespan="on",
            # The application logs requests itself; uvicorn's warnings go to the usual log.
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            ssl_certfile=settings.cert_file,
            ssl_keyfile=settings.key_file,
            timeout_keep_alive=round(settings.keep_alive_timeout),
        )
        server = _Server(config, settings, slots, ended)
        server.run(sockets=[holder])
    LOGGER.info("REST service stopped")


class _Server(uvicorn.Server):
    """uvicorn, which finishes the requests in flight before it stops."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: RestSettings,
        slots: Slots,
        ended: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._slots = slots
        self._ended = ended

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signals again after it has stopped, which would interrupt what
        # our caller still has to stop.
        in_main_thread = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if in_main_thread else ()
        handlers = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Refuse requests from now on; the second time, stop at once."""
        self.force_exit = self.should_exit = self._slots.closed
        self._slots.closed = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            address = replace(self._settings, host=host, port=port).address
            LOGGER.info("REST service ready at %s", address)
            if not (self._settings.api_keys or ip_address(host).is_loopback):
                LOGGER.warning("other machines can use the REST service without an API key")
            self._watch = asyncio.create_task(self._stop_when_over())

    async def _stop_when_over(self) -> None:
        # Often enough that a stop is not delayed noticeably.
        next_look = next_release = 0.0
        while not self._slots.closed:
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + _POLL_SECONDS
                if self._ended():
                    self._slots.closed = True
            if time.monotonic() >= next_release:
                next_release = time.monotonic() + _RELEASE_SECONDS
                # Bodies leave gaps, which nothing else gives back to the system.
                release_freed_memory()
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        # While requests are in flight, connections are still accepted and get 503: uvicorn itself
        # would refuse them first.
        deadline = time.monotonic() + self._settings.shutdown_timeout
        while self._slots.present and time.monotonic() < deadline:
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        # For answers that are still on their way.
        left = round(deadline - time.monotonic())
        self.config.timeout_graceful_shutdown = max(left, 1)
        self.should_exit = True
