"""A proxy for HTTP and HTTPS that records what is asked for, and lets nothing through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class RecordingProxy:
    """What programs ask for that are started with its variables: ``METHOD TARGET``, in order."""

    def __init__(self, port: int) -> None:
        address = f"http://127.0.0.1:{port}"
        self.variables = {**dict.fromkeys(VARIABLES, address), "no_proxy": "", "NO_PROXY": ""}
        self.asked: list[str] = []


@contextmanager
def recording_proxy() -> Iterator[RecordingProxy]:
    """Run a proxy as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            line = self.rfile.readline(65536).decode("latin-1")
            if line:
                proxy.asked.append(" ".join(line.split()[:2]))
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = RecordingProxy(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
