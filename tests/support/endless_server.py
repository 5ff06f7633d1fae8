"""An HTTP server that never comes to an end."""

from __future__ import annotations

import socketserver
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


@contextmanager
def endless_server(begin: bytes, again: bytes, pause: float = 0.0) -> Iterator[str]:
    """Answer each request with ``begin`` and then with ``again`` without end; yields the URL."""
    open_ones = [True]

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(65536)
                self.request.sendall(begin)
                while open_ones:
                    self.request.sendall(again)
                    time.sleep(pause)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/a"
        finally:
            open_ones.clear()
            server.shutdown()
            thread.join()
