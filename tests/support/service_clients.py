"""Clients of the two services with PaddleX's contract, as its users write them."""

from __future__ import annotations

import base64
import json
from typing import Any, Protocol

import numpy as np
import requests
import tritonclient.grpc
import tritonclient.http

from tritonpose.result import KeypointResult
from tritonpose.triton_http import CLIENT_HEADERS

ENDPOINT = "human-keypoint-detection"


class ServiceClient(Protocol):
    """Sends the JSON of a request, and returns that of its answer."""

    def call(self, **document: Any) -> Any: ...


class RestClient:
    """A client of the REST service."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, **document: Any) -> Any:
        response = requests.post(f"{self.address}{ENDPOINT}", json=document, timeout=60)
        answer = response.json()
        assert response.status_code == (answer["errorCode"] or 200)
        assert response.headers["X-Request-ID"] == answer["logId"]
        return answer


class HpsClient:
    """A client of the HPS model: one JSON text in a tensor [1, 1], another one back.

    Args:
        url: ``grpc://HOST:PORT`` or ``http://HOST:PORT`` of Triton.
    """

    def __init__(self, url: str) -> None:
        scheme, _, address = url.partition("://")
        self._module: Any = tritonclient.grpc if scheme == "grpc" else tritonclient.http
        self._client = self._module.InferenceServerClient(address)

    def send(self, array: Any) -> Any:
        """Sends a tensor as it is."""
        tensor = self._module.InferInput("input", list(array.shape), "BYTES")
        tensor.set_data_from_numpy(array)
        # A copy: the HTTP client writes a number into it, which the gRPC client does not take.
        headers = dict(CLIENT_HEADERS)
        return self._client.infer(ENDPOINT, inputs=[tensor], headers=headers)

    def call(self, **document: Any) -> Any:
        text = json.dumps(document, separators=(",", ":")).encode("utf-8")
        results = self.send(np.array([[text]], dtype=np.object_))
        return json.loads(results.as_numpy("output")[0, 0].decode("utf-8"))


def encoded(data: bytes) -> str:
    """A file as it goes into the field ``image``."""
    return base64.b64encode(data).decode("ascii")


def persons_of(result: KeypointResult) -> list[dict[str, Any]]:
    """What the contract has of the Python client's result, number by number."""
    return [
        {
            "bbox": [float(x) for x in box["coordinate"]],
            "kpts": np.asarray(box["keypoints"]).tolist(),
            "detScore": float(box["det_score"]),
            "kptScore": float(box["kpt_score"]),
        }
        for box in result["boxes"]
    ]
