"""Hostile input: each request gets its answer, and so does everybody beside it."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from leftovers import descendants
from tools.soak.clients import Clients
from tools.soak.endpoints import open_endpoints
from tools.soak.hostile import refused_files, unusual_files
from tools.soak.mutations import PIXELS
from tools.soak.pictures import Picture, answered_pictures, cut_pictures, differences
from tools.soak.report import Outcome, Report
from tools.soak.service import Addresses
from tritonpose.transport import connect
from tritonpose.transport.messages import MODEL_NAME, InferRequest
from tritonpose.triton_http import CLIENT_HEADERS
from tritonpose_server.embedded.server import EmbeddedServer

CONCURRENCY = 8


@pytest.fixture(scope="module")
def pictures(server: EmbeddedServer, photo: Path) -> list[Picture]:
    with closing(connect(server.grpc_url)) as transport:
        return answered_pictures(
            cut_pictures(photo), lambda data: transport.infer(InferRequest(image=data))
        )


@pytest.fixture(autouse=True)
def unharmed(server: EmbeddedServer, photo: Path) -> Iterator[None]:
    """Check that no process is started again meanwhile, and that people are found afterwards."""
    before = descendants(server.pid or 0)
    yield
    assert descendants(server.pid or 0) == before
    with closing(connect(server.grpc_url)) as transport:
        assert len(transport.infer(InferRequest(image=photo.read_bytes())).boxes) == 2


def test_what_must_be_refused(addresses: Addresses, pictures: list[Picture]) -> None:
    """At every endpoint, with good requests beside it; the rest is in the soak test."""
    files, report = refused_files(PIXELS), Report("hostile input")

    async def work() -> int:
        endpoints = open_endpoints(addresses)
        clients = Clients(pictures, files, report)
        queue = iter([(file, endpoint) for file in files for endpoint in endpoints])

        async def worker() -> None:
            for number, (file, endpoint) in enumerate(queue):
                outcome = await clients.damaged(endpoint, file.data, file.name)
                assert outcome == Outcome.REJECTED, (endpoint.name, file.name)
                if number % 4 == 0:
                    await clients.own_box(endpoint)

        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
        for endpoint in endpoints:
            assert await clients.known(endpoint) == Outcome.ANSWERED
            await endpoint.close()
        return len(endpoints)

    asked = asyncio.run(work())
    assert report.violations == []
    assert report.count(Outcome.REFUSED) == 0
    assert report.count(Outcome.REJECTED) == asked * len(files)


def test_unusual_files_are_read_as_paddlex_reads_them(
    server: EmbeddedServer, photo: Path, tmp_path: Path
) -> None:
    """PaddleX reads files with ``cv2.imread``."""
    frame = cv2.imread(str(photo))[:480, 400:800]
    pixels = np.ascontiguousarray(cv2.resize(frame, (200, 240))[:, :, ::-1])
    people = []
    path = tmp_path / "file"
    with closing(connect(server.grpc_url)) as transport:
        for file in unusual_files(pixels):
            path.write_bytes(file.data)
            as_paddlex_reads_it = transport.infer(InferRequest(frame=cv2.imread(str(path))))
            answer = transport.infer(InferRequest(image=file.data))
            assert differences(answer, as_paddlex_reads_it) is None, file.name
            people.append(len(answer.boxes))
    # Most of them show the person, whatever their colors and orientation.
    assert sum(count > 0 for count in people) > len(people) / 2


@pytest.mark.parametrize(
    "shape", [[1000], [2**62], [-5], [0], [2**31, 2**31, 4]], ids=lambda shape: str(shape)
)
def test_shapes_that_the_data_do_not_have(server: EmbeddedServer, shape: list[int]) -> None:
    client = tritonclient.grpc.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))
    tensor = tritonclient.grpc.InferInput("image", [10], "UINT8")
    tensor.set_data_from_numpy(np.zeros(10, np.uint8))
    tensor.set_shape(shape)
    with pytest.raises(InferenceServerException) as caught:
        client.infer(MODEL_NAME, [tensor])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def tensor_json(**fields: Any) -> bytes:
    tensor = {"name": "image", "shape": [4], "datatype": "UINT8", **fields}
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"inputs": 5}', None),
        (b'{"inputs": [5]}', None),
        (b'{"inputs": [{}]}', None),
        (tensor_json(data=[1, 2, 3, 999]), None),
        (tensor_json(data=[1, 2]), None),
        (tensor_json(data="text"), None),
        (tensor_json(parameters={"binary_data_size": 10**12}), None),
        (tensor_json(parameters={"binary_data_size": -4}) + b"1234", 91),
        (b"x" * 1000, 5000),
        (b"x" * 1000, -1),
        (b"x" * 1000, 10**30),
        (b'{"inputs": []}' + b"x" * 50, 14),
        (b"[" * 1000, None),
        (b"\xff\xfe" * 500, None),
    ],
)
def test_bodies_that_lie(server: EmbeddedServer, body: bytes, length: int | None) -> None:
    lengths = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    headers = {**CLIENT_HEADERS, **lengths}
    connection = http.client.HTTPConnection(server.http_url.removeprefix("http://"), timeout=20)
    connection.request("POST", f"/v2/models/{MODEL_NAME}/infer", body, headers)
    response = connection.getresponse()
    # Triton answers 500 to what is not JSON.
    assert response.status in (400, 500)
    assert json.loads(response.read())["error"]
    connection.close()
