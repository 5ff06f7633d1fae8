"""The REST service in a thread of the tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

from leftovers import wait_until
from tritonpose_service.rest.run import run_rest
from tritonpose_service.rest.settings import RestSettings


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def rest_service(triton_url: str, port: int | None = None, **settings: Any) -> Iterator[str]:
    """A real service in a thread; its address."""
    port = port or free_port()
    address = f"http://127.0.0.1:{port}/"
    over = threading.Event()
    running = threading.Thread(
        target=run_rest,
        args=(RestSettings(triton_url, port=port, **settings),),
        kwargs={"ended": over.is_set},
    )
    running.start()
    try:
        assert wait_until(lambda: _answers(address))
        yield address
    finally:
        over.set()
        running.join()


def _answers(address: str) -> bool:
    try:
        with urlopen(f"{address}health", timeout=5):
            return True
    except OSError:
        return False
