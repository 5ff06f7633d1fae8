"""A supervisor's requests to Triton: over HTTP, and light to import."""

from __future__ import annotations

import http.client
import json
import math
import select
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from tritonpose.triton_http import CLIENT_HEADERS

PROBE_ID = "supervisor"
"""The request id of all probes, for logs."""

_PIPELINE = "human_keypoint_detection"
_HPS = "human-keypoint-detection"

# Triton's message for a model whose process gives no sign of life.
_UNHEALTHY = b"is not healthy"

_TIMEOUT_SECONDS = 2.0
_FAILURES = (OSError, http.client.HTTPException, ValueError)


class RequestCounts(NamedTuple):
    """Requests that a model has completed so far."""

    succeeded: int
    failed: int


@dataclass(frozen=True)
class Probe:
    """A POST that shows whether a model works, in KServe's binary form (version 2)."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class TritonApi:
    """One server, by its HTTP endpoint ``host:port``."""

    def __init__(self, address: str) -> None:
        self._address = address

    def is_ready(self) -> bool:
        """Return whether the server and its models report to be ready."""
        return self._request("/v2/health/ready") is not None

    def name(self) -> str | None:
        """Return the id that the server was started with; None if it does not respond."""
        server = self._json("/v2")
        return server.get("name") if isinstance(server, dict) else None

    def has_unloaded(self, model: str) -> bool:
        """Return whether the server responds, and reports that a model is not ready."""
        return self._get(f"/v2/models/{model}/ready")[0] == http.HTTPStatus.BAD_REQUEST

    def request_counts(self) -> dict[str, RequestCounts] | None:
        """Count completed requests by model; None if the server does not respond."""
        response = self._json("/v2/models/stats")
        if response is None:
            return None
        return {
            model["name"]: RequestCounts(
                *(model["inference_stats"][outcome]["count"] for outcome in ("success", "fail"))
            )
            for model in response["model_stats"]
        }

    def config(self, model: str) -> Mapping[str, Any] | None:
        """Return a model's configuration; None if the server does not give it."""
        config = self._json(f"/v2/models/{model}/config")
        return config if isinstance(config, dict) else None

    def send(self, probe: Probe) -> PendingResponse:
        """Send a probe without waiting for its response."""
        return PendingResponse(self._connection(), probe)

    def _json(self, path: str) -> Any:
        content = self._request(path)
        try:
            return None if content is None else json.loads(content)
        except ValueError:
            return None

    def _request(self, path: str) -> bytes | None:
        """Return what the server sends with the status OK; None if it does not."""
        status, content = self._get(path)
        return content if status == http.HTTPStatus.OK else None

    def _get(self, path: str) -> tuple[int | None, bytes]:
        """Return status and content of a response; None and nothing if there is none."""
        with closing(self._connection()) as connection:
            try:
                connection.request("GET", path, headers=CLIENT_HEADERS)
                response = connection.getresponse()
                return response.status, response.read()
            except _FAILURES:
                return None, b""

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)


class PendingResponse:
    """The response to a probe, which may come or not; status ``LOST``: it will not."""

    LOST = 0

    def __init__(self, connection: http.client.HTTPConnection, probe: Probe) -> None:
        """Send a probe."""
        self._connection = connection
        self._status: int | None = None
        try:
            connection.request("POST", probe.path, probe.body, probe.headers)
        except _FAILURES:
            self._status = self.LOST

    def status(self) -> int | None:
        """Return the response's HTTP status, `LOST`, or None as long as there is none."""
        sock = self._connection.sock
        if self._status is None and sock and select.select([sock], [], [], 0)[0]:
            try:
                response = self._connection.getresponse()
                lost = _UNHEALTHY in response.read()
                self._status = self.LOST if lost else response.status
            except _FAILURES:
                self._status = self.LOST
        return self._status

    def close(self) -> None:
        """Close the connection; a response still due is lost."""
        self._connection.close()


def probe_for(config: Mapping[str, Any]) -> Probe | None:
    """Make the cheapest request that shows that a model works; None for a model of an unknown kind.

    The pipeline gets a tiny image and an empty list of person boxes, so it calls no other model;
    the HPS model a body that lacks all fields, as its refusal shows that it works; and a composing
    model a black image, as only an inference shows that it computes. ``config`` is as Triton
    returns it.
    """
    name = config["name"]
    if name == _PIPELINE:
        frame = ("frame", "UINT8", (8, 8, 3), bytes(8 * 8 * 3))
        return _probe(name, frame, ("person_boxes", "FP32", (0, 4), b""))
    if name == _HPS:
        text = b"{}"
        content = len(text).to_bytes(4, "little") + text
        return _probe(name, ("input", "BYTES", (1, 1), content))
    inputs = [(entry["name"], entry["data_type"]) for entry in config["input"]]
    if inputs != [("image", "TYPE_UINT8")]:
        return None
    shape = [int(size) for size in config["input"][0]["dims"]]
    if min(shape) < 1:
        return None
    return _probe(name, ("image", "UINT8", (1, *shape), bytes(math.prod(shape))))


def _probe(model: str, *tensors: tuple[str, str, Sequence[int], bytes]) -> Probe:
    """Make a probe of input tensors: name, data type, shape and content of each."""
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": shape,
            "parameters": {"binary_data_size": len(content)},
        }
        for name, datatype, shape, content in tensors
    ]
    request = {"id": PROBE_ID, "inputs": inputs, "parameters": {"binary_data_output": True}}
    header = json.dumps(request).encode()
    return Probe(
        f"/v2/models/{model}/infer",
        {"Inference-Header-Content-Length": str(len(header)), **CLIENT_HEADERS},
        header + b"".join(content for *_, content in tensors),
    )
