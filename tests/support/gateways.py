"""Gateways before a Triton server, as operators put them there: TLS, an API key, a late start.

They take requests over gRPC or HTTP, look at their headers and pass them on unchanged.
"""

from __future__ import annotations

import http.client
import http.server
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]

from certificates import Certificates

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass
class Gateway:
    """A running gateway.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        api_key: Whom it lets through; None for everybody.
        seen: The headers of each request, names in lower case.
    """

    port: int = 0
    api_key: str | None = None
    seen: list[dict[str, str]] = field(default_factory=list)

    def admits(self, headers: dict[str, str]) -> bool:
        """Notes a request and decides whether to pass it on."""
        self.seen.append(headers)
        return self.api_key is None or headers.get("authorization") == f"Bearer {self.api_key}"


@contextmanager
def gateway(
    upstream: str,
    *,
    port: int = 0,
    api_key: str | None = None,
    certificates: Certificates | None = None,
) -> Iterator[Gateway]:
    """Runs a gateway before a server.

    Args:
        upstream: The server's URL, whose protocol is the gateway's.
        port: Where to listen; 0 for a free port.
        api_key: The key to ask for; None for none.
        certificates: For TLS, with a client's certificate; None for none.
    """
    parts = urlsplit(upstream)
    state = Gateway(port, api_key)
    serve = _serve_grpc if parts.scheme == "grpc" else _serve_http
    with serve(parts.netloc, state, certificates):
        yield state


@contextmanager
def _serve_grpc(upstream: str, state: Gateway, certificates: Certificates | None) -> Iterator[None]:
    class Forward(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            ask = channel.unary_unary(details.method)

            def answer(request: bytes, context: Any) -> Any:
                if not state.admits(dict(context.invocation_metadata())):
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid key")
                try:
                    return ask(request, timeout=context.time_remaining())
                except grpc.RpcError as error:
                    context.abort(error.code(), error.details())

            return grpc.unary_unary_rpc_method_handler(answer)

    with (
        grpc.insecure_channel(upstream, options=_UNLIMITED) as channel,
        ThreadPoolExecutor(16) as pool,
    ):
        server = grpc.server(pool, [Forward()], options=_UNLIMITED)
        address = f"127.0.0.1:{state.port}"
        if certificates is None:
            state.port = server.add_insecure_port(address)
        else:
            pair = (certificates.server_key.read_bytes(), certificates.server_cert.read_bytes())
            credentials = grpc.ssl_server_credentials(
                [pair], certificates.ca.read_bytes(), require_client_auth=True
            )
            state.port = server.add_secure_port(address, credentials)
        server.start()
        try:
            yield
        finally:
            server.stop(grace=0).wait()


@contextmanager
def _serve_http(upstream: str, state: Gateway, certificates: Certificates | None) -> Iterator[None]:
    class Forward(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if not state.admits(headers):
                self._answer(401, {}, b'{"error": "no valid key"}')
                return
            connection = http.client.HTTPConnection(upstream)
            connection.request("POST", self.path, body, headers)
            response = connection.getresponse()
            self._answer(response.status, dict(response.getheaders()), response.read())
            connection.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Says nothing of clients that it refused."""

    with Server(("127.0.0.1", state.port), Forward) as server:
        state.port = server.server_port
        if certificates is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
            context.load_cert_chain(certificates.server_cert, certificates.server_key)
            context.verify_mode = ssl.CERT_REQUIRED
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
