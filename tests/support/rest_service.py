"""The REST service in a thread of the tests."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx

from leftovers import wait_until
from tools.programs import free_ports
from tritonpose_server.service.rest.run import run_rest
from tritonpose_server.service.rest.settings import RestSettings

NO_TRITON = "grpc://127.0.0.1:9"
"""An address at which nothing listens on this machine."""


def free_port() -> int:
    """A port that nothing listens on."""
    return free_ports(1)[0]


@contextmanager
def rest_service(
    triton_url: str, port: int | None = None, trust: Path | None = None, **settings: Any
) -> Iterator[str]:
    """A real service in a thread; its address.

    Args:
        triton_url: See `RestSettings`.
        port: Its port; None for a free one.
        trust: With TLS, the certificate of the authority behind that of `localhost`.
        settings: Further fields of `RestSettings`.
    """
    port = port or free_port()
    address = f"https://localhost:{port}/" if trust else f"http://127.0.0.1:{port}/"
    over = threading.Event()
    running = threading.Thread(
        target=run_rest,
        args=(RestSettings(triton_url, port=port, **settings),),
        kwargs={"ended": over.is_set},
    )
    running.start()
    try:
        assert wait_until(lambda: _answers(address, trust))
        yield address
    finally:
        over.set()
        running.join()


@contextmanager
def rest_client(**settings: Any) -> Iterator[httpx.Client]:
    """A client of a service that has no Triton; see `rest_service`."""
    with rest_service(NO_TRITON, **settings) as address, httpx.Client(base_url=address) as client:
        yield client


def _answers(address: str, trust: Path | None) -> bool:
    context = ssl.create_default_context(cafile=trust) if trust else None
    try:
        with urlopen(f"{address}health", timeout=5, context=context):
            return True
    except OSError:
        return False
