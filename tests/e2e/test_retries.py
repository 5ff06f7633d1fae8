"""Servers that come late or are full, and requests that go to several: nothing is lost."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gateways import gateway
from tritonpose import ServerUnavailableError
from tritonpose.transport.connection import Connection
from tritonpose.transport.grpc import GrpcServer
from tritonpose.transport.messages import InferRequest
from tritonpose_server.embedded.server import EmbeddedServer
from twins import EVERY_CLIENT, ONE_OF_EACH, predict_all, url_of

# The server takes 128 at a time, by its config.pbtxt.
CROWD = 160


@pytest.fixture(scope="module")
def small_photo(photo: Path) -> NDArray[np.uint8]:
    return cv2.resize(cv2.imread(str(photo)), (480, 360)).astype(np.uint8)


@EVERY_CLIENT
def test_a_server_that_starts_late(
    scheme: str, asynchronous: bool, server: EmbeddedServer, small_photo: NDArray[np.uint8]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    url = f"{scheme}://127.0.0.1:{port}"
    with pytest.raises(ServerUnavailableError, match=f":{port}"):
        predict_all(asynchronous, small_photo, url=url)
    with ExitStack() as running:
        door = gateway(url_of(server, scheme), port=port)
        opening = threading.Timer(1.0, running.enter_context, [door])
        opening.start()
        results = predict_all(asynchronous, [small_photo] * 3, url=url, retries=100)
        opening.join()
    assert [len(result["boxes"]) for result in results] == [2, 2, 2]


@ONE_OF_EACH
def test_a_crowd_that_the_server_cannot_take_at_once(
    scheme: str, asynchronous: bool, server: EmbeddedServer
) -> None:
    nobody = np.full((96, 96, 3), 90, np.uint8)

    def send(retries: int) -> list[bool]:
        results = predict_all(
            asynchronous,
            [nobody] * CROWD,
            url=url_of(server, scheme),
            retries=retries,
            max_in_flight=CROWD,
            on_error="collect",
        )
        assert all(isinstance(r.error, ServerUnavailableError | None) for r in results)
        return [r.error is None for r in results]

    assert not all(send(retries=0))
    answered = send(retries=1000)
    assert len(answered) == CROWD
    assert all(answered)


def test_grpc_uses_all_addresses_of_a_name(
    server: EmbeddedServer, small_photo: NDArray[np.uint8]
) -> None:
    with gateway(server.grpc_url) as one, gateway(server.grpc_url) as two:
        # As if a name had resolved to them.
        addresses = f"ipv4:127.0.0.1:{one.port},127.0.0.1:{two.port}"
        client = GrpcServer(addresses, Connection.from_options("grpc://pose:8001"))
        for _ in range(20):
            client.infer(InferRequest(frame=small_photo), 60)
        client.close()
        # Those sent before the second connection was made all went to the first.
        assert min(len(one.seen), len(two.seen)) >= 5
        assert len(one.seen) + len(two.seen) == 20
