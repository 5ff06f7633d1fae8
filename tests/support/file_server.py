"""A real HTTP server on 127.0.0.1 that misbehaves as tests ask it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Route:
    """What one path answers.

    Attributes:
        body: The file.
        headers: Of each answer, over the usual ones; None leaves one out.
        status: Of the answer with the file.
        statuses: Answered without a body before the file is, one to each request.
        cuts: Bytes of the body after which the connection is closed, one for each request.
        hangs: Whether it is left open instead, in silence.
        pause: Wait before each byte of the body, in seconds.
        silent: Requests are read and never answered.
    """

    body: bytes = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    hangs: bool = False
    pause: float = 0.0
    silent: bool = False


class FileServer:
    """Routes by path, and the requests that came."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, Message]] = []
        self.closing = threading.Event()

    def add(self, path: str, route: Route) -> str:
        """Serve a path and return its address."""
        self.routes[path] = route
        return self.address + path

    def paths(self) -> list[str]:
        """Of the requests so far."""
        return [path for path, _ in self.requests]


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Run a server as long as the context lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        server = FileServer(f"http://127.0.0.1:{http.server_port}")
        http.files = server
        # Closing waits for answers in progress; `closing` ends answers that would never end.
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        files: FileServer = self.server.files
        files.requests.append((self.path, self.headers))
        route = files.routes.get(self.path)
        self.close_connection = True
        if route is None:
            self.send_error(404)
        elif route.silent:
            files.closing.wait(10)
        elif route.statuses:
            self._answer(route, route.statuses.pop(0), b"")
        else:
            self._answer(route, route.status, route.body)

    def _answer(self, route: Route, status: int, body: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(body))}
        for name, value in {**headers, **route.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        cut = status < 300 and bool(route.cuts)
        if cut:
            body = body[: route.cuts.pop(0)]
        step = 1 if route.pause else max(len(body), 1)
        for start in range(0, len(body), step):
            if route.pause and self.server.files.closing.wait(route.pause):
                return
            try:
                self.wfile.write(body[start : start + step])
            except ConnectionError:
                return
        if cut and route.hangs:
            self.server.files.closing.wait(10)

    def log_message(self, *_: object) -> None:
        """Tests look at the requests themselves."""
