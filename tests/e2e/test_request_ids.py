"""A request keeps its name from the client to the pipeline's log."""

from __future__ import annotations

import base64
import json
import logging
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from leftovers import wait_until
from tritonpose.errors import InvalidRequestError
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest
from tritonpose_server.embedded.server import EmbeddedServer


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_of_the_python_client(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    caplog.set_level(logging.DEBUG, "tritonpose.triton")
    url = server.grpc_url if protocol == "grpc" else server.http_url
    request = InferRequest(image=b"no image")
    with closing(connect(url)) as transport, pytest.raises(InvalidRequestError) as caught:
        transport.infer(request)
    assert caught.value.request_id == request.request_id
    assert wait_until(lambda: f"request_id={request.request_id} refused after " in caplog.text)


def test_of_the_hps_contract(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture, photo: Path
) -> None:
    caplog.set_level(logging.DEBUG, "tritonpose.triton")
    # Cut in the middle: found out only by the pipeline.
    damaged = base64.b64encode(photo.read_bytes()[:3000]).decode()
    text = json.dumps({"image": damaged, "logId": "told-by-the-client"}).encode()
    tensor = triton.InferInput("input", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text]], dtype=np.object_))
    with triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://")) as client:
        answer = client.infer("human-keypoint-detection", [tensor]).as_numpy("output")
    assert json.loads(answer[0, 0])["errorCode"] == 422
    assert wait_until(lambda: "request_id=told-by-the-client refused after " in caplog.text)
