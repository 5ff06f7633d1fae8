"""Facts of servers over TLS, and from several servers."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from certificates import Certificates, make_certificates
from tools.errors import ToolError
from tools.evaluation.server_facts import ServerFacts, ask_server
from tools.evaluation.variants import Variant
from tritonpose.transport.connection import Connection

PARAMETERS = {"detector": "det", "keypoint_model": "kpt", "flip": "true"}


class HttpTriton(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parameters = {name: {"string_value": value} for name, value in PARAMETERS.items()}
        answers = {
            "/v2": {"version": "2.51.0"},
            "/v2/models/human_keypoint_detection/config": {"parameters": parameters},
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answers[self.path]).encode())

    def log_message(self, *_: object) -> None:
        pass


class GrpcTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    def ServerMetadata(self, *_: object) -> object:  # noqa: N802 - gRPC's name
        return service_pb2.ServerMetadataResponse(version="2.51.0")

    def ModelConfig(self, *_: object) -> object:  # noqa: N802 - gRPC's name
        response = service_pb2.ModelConfigResponse()
        for name, value in PARAMETERS.items():
            response.config.parameters[name].string_value = value
        return response


@contextmanager
def triton(scheme: str, certificates: Certificates) -> Iterator[str]:
    """Serve the facts over a scheme; yields the URL."""
    if scheme == "grpcs":
        server = grpc.server(ThreadPoolExecutor(2))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(GrpcTriton(), server)
        pair = certificates.server_key.read_bytes(), certificates.server_cert.read_bytes()
        port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
        server.start()
        yield f"{scheme}://localhost:{port}"
        server.stop(None)
        return
    with ThreadingHTTPServer(("localhost", 0), HttpTriton) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server_cert, certificates.server_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{scheme}://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_the_first_of_several_servers_that_answers(scheme: str, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    trust = {"ca_file": certificates.ca}
    with socket.create_server(("localhost", 0)) as listener:
        closed = f"{scheme}://localhost:{listener.getsockname()[1]}"
    with triton(scheme, certificates) as url:
        facts = ask_server(Connection.from_options(f"{closed},{url}", **trust))
    assert facts == ServerFacts("2.51.0", Variant("det", "kpt", True, None))
    asked = facts.resolve(Variant("other", flip=False))
    assert asked == Variant("other", "kpt", False, None)
    with pytest.raises(ToolError, match=f"{closed} doesn't answer as a tritonpose server"):
        ask_server(Connection.from_options(closed, **trust))
