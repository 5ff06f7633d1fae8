"""Cut connections to servers that send something now and then, but never all of it."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from contextlib import suppress
from functools import partial
from typing import Any


class Deadline:
    """Cuts the connections it watches, unless its context ends within ``seconds``.

    Timeouts of sockets are not enough: they begin again with each byte.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._seconds = seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for each in self._sockets:
            each.close()

    def check(self) -> None:
        """Raise OSError if the time is over."""
        if self.passed:
            raise OSError(f"not all of it came within {self._seconds:g} s")

    def handlers(self) -> list[urllib.request.BaseHandler]:
        """Make urllib's handlers whose connections it watches."""
        return [_HttpHandler(self), _HttpsHandler(self)]

    def connect(self, *arguments: Any, **options: Any) -> socket.socket:
        """Make a connection that it watches, as `socket.create_connection`."""
        made = socket.create_connection(*arguments, **options)
        # A twin: what is encrypted can't be cut from another thread.
        self._sockets.append(socket.fromfd(made.fileno(), made.family, made.type))
        # Connecting may have taken all the time.
        if self.passed:
            self._cut()
        return made

    def _cut(self) -> None:
        self.passed = True
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _HttpConnection(http.client.HTTPConnection):
    def __init__(self, deadline: Deadline, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # What it says to a proxy and about encryption, it says while it connects.
        self._create_connection = deadline.connect


class _HttpsConnection(_HttpConnection, http.client.HTTPSConnection):
    pass


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_HttpConnection, self._deadline), req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_HttpsConnection, self._deadline), req)
