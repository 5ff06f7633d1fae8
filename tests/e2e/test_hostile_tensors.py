"""Tensors of wrong shapes, types, counts and names, and requests that lie about their length.

What Triton itself checks before the pipeline does is refused in Triton's words.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from leftovers import descendants
from tritonpose.transport import connect
from tritonpose.transport.messages import MODEL_NAME, InferRequest
from tritonpose_server.embedded.server import EmbeddedServer

FRAME = np.zeros((32, 32, 3), np.uint8)
PATH = f"/v2/models/{MODEL_NAME}/infer"

Tensor = tuple[str, str, npt.NDArray[Any]]


@pytest.fixture(autouse=True)
def unharmed(server: EmbeddedServer, photo: Path) -> Iterator[None]:
    """Check that the server goes on as if nothing was sent."""
    before = descendants(server.pid or 0)
    yield
    assert descendants(server.pid or 0) == before
    transport = connect(server.grpc_url)
    assert len(transport.infer(InferRequest(image=photo.read_bytes())).boxes) == 2
    transport.close()


@pytest.fixture(params=["grpc", "http"])
def send(request: pytest.FixtureRequest, server: EmbeddedServer) -> Callable[..., object]:
    """Sends tensors as they are."""
    module = tritonclient.grpc if request.param == "grpc" else tritonclient.http
    url = server.grpc_url if request.param == "grpc" else server.http_url
    client = module.InferenceServerClient(url.split("//")[1])

    def call(*tensors: Tensor) -> object:
        inputs = []
        for name, datatype, value in tensors:
            tensor = module.InferInput(name, list(value.shape), datatype)
            tensor.set_data_from_numpy(value)
            inputs.append(tensor)
        return client.infer(MODEL_NAME, inputs)

    return call


def threshold(*values: float) -> Tensor:
    return ("det_threshold", "FP32", np.array(values, np.float32))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ((), "exactly one of `image`"),
        ((("image", "UINT8", np.zeros((2, 2), np.uint8)),), "unexpected shape for input 'image'"),
        ((("image", "FP32", np.zeros(4, np.float32)),), "data-type is 'FP32'"),
        ((("image", "BYTES", np.array([b"x"], object)),), "data-type is 'BYTES'"),
        ((("frame", "UINT8", np.zeros((9, 9), np.uint8)),), "unexpected shape for input 'frame'"),
        ((("frame", "UINT8", np.zeros((1, 9, 9, 3), np.uint8)),), "unexpected shape for input"),
        ((("frame", "UINT8", np.zeros((9, 9, 4), np.uint8)),), "unexpected shape for input"),
        ((("picture", "UINT8", FRAME),), "unexpected inference input 'picture'"),
        ((("frame", "UINT8", FRAME), threshold(np.inf)), "from 0 to 1, got inf"),
        ((("frame", "UINT8", FRAME), threshold(-np.inf)), "from 0 to 1, got -inf"),
        ((("frame", "UINT8", FRAME), threshold(np.nan)), "from 0 to 1, got nan"),
        ((("frame", "UINT8", FRAME), threshold(0.5, 0.5)), "unexpected shape for input"),
        ((("frame", "UINT8", FRAME), threshold()), "unexpected shape for input"),
        (
            (("frame", "UINT8", FRAME), ("person_boxes", "FP32", np.zeros((2, 5), np.float32))),
            "unexpected shape for input 'person_boxes'",
        ),
        (
            (
                ("frame", "UINT8", FRAME),
                ("person_boxes", "FP32", np.full((1, 4), np.nan, np.float32)),
            ),
            "box 0 is [nan, nan, nan, nan]",
        ),
    ],
)
def test_tensors(send: Callable[..., object], tensors: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        send(*tensors)
    assert message in caught.value.message()
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400")


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
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    connection = http.client.HTTPConnection(server.http_url.removeprefix("http://"), timeout=20)
    connection.request("POST", PATH, body, headers)
    response = connection.getresponse()
    # Triton answers 500 to what is not JSON.
    assert response.status in (400, 500)
    assert json.loads(response.read())["error"]
    connection.close()
