"""What only the HPS model has of the contract; the rest is in test_service_contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from service_clients import HpsClient
from tritonpose_server.embedded.server import EmbeddedServer


@pytest.fixture(scope="module", params=["grpc_url", "http_url"])
def client(request: pytest.FixtureRequest, server: EmbeddedServer) -> HpsClient:
    return HpsClient(getattr(server, request.param))


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (np.array([[b"{"]], object), "`input` must be JSON text"),
        (np.array([[b'"\xff"']], object), "`input` must be JSON text"),
        (np.array([[b"{}", b"{}"]], object), "shape"),
        (np.array([[b"{}"], [b"{}"]], object), "batch"),
        (np.array([b"{}"], object), "shape"),
    ],
)
def test_errors_of_triton(client: HpsClient, tensor: Any, words: str) -> None:
    with pytest.raises(InferenceServerException, match=words) as caught:
        client.send(tensor)
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400")
