"""What a supervisor asks of a Triton server, over HTTP and with the standard library alone."""

from __future__ import annotations

import http.client
import json
import select
from collections.abc import Mapping
from typing import Any

from tritonpose_server.supervision.probes import Probe

CONTROL_HEADER = "tritonpose-control"
"""HTTP header of the key that opens Triton's control endpoints; for gRPC see `GRPC_HEADER`."""

GRPC_HEADER = f"triton-grpc-protocol-{CONTROL_HEADER}"
"""The same for gRPC: Triton wants this prefix."""

CONTROL_APIS = ("model-repository", "shared-memory", "trace", "logging")
"""Groups of Triton's endpoints that change a server, or show more of it than clients need."""

# What Triton answers for a model whose process gives no sign of life.
_UNHEALTHY = b"is not healthy"

_TIMEOUT_SECONDS = 2.0
_FAILURES = (OSError, http.client.HTTPException, ValueError)


class TritonApi:
    """One server.

    Args:
        address: Its HTTP endpoint, ``host:port``.
        control_key: What opens its control endpoints.
    """

    def __init__(self, address: str, control_key: str) -> None:
        self._address = address
        self._control_key = control_key

    def is_ready(self) -> bool:
        """Whether it says that it and its models are ready."""
        try:
            return self._request("GET", "/v2/health/ready")[0] == http.HTTPStatus.OK
        except _FAILURES:
            return False

    def ready_models(self) -> set[str] | None:
        """The models that it says are ready; None where it can't be asked."""
        models = self._json("POST", "/v2/repository/index")
        if models is None:
            return None
        return {model["name"] for model in models if model.get("state") == "READY"}

    def successes(self) -> dict[str, int] | None:
        """Requests answered well so far, by model; None where it can't be asked."""
        answer = self._json("GET", "/v2/models/stats")
        if answer is None:
            return None
        return {
            model["name"]: model["inference_stats"]["success"]["count"]
            for model in answer["model_stats"]
        }

    def config(self, model: str) -> Mapping[str, Any] | None:
        """A model's configuration; None where it can't be had."""
        answer = self._json("GET", f"/v2/models/{model}/config")
        return answer if isinstance(answer, dict) else None

    def send(self, probe: Probe) -> PendingAnswer:
        """Send a request without waiting for its answer."""
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)
        return PendingAnswer(connection, probe)

    def _json(self, method: str, path: str) -> Any:
        try:
            status, content = self._request(method, path)
            return json.loads(content) if status == http.HTTPStatus.OK else None
        except _FAILURES:
            return None

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, headers={CONTROL_HEADER: self._control_key})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class PendingAnswer:
    """The answer to a probe, which may come or not.

    Attributes:
        LOST: The status of a probe that nobody will answer.
    """

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
        """The answer's HTTP status, `LOST`, or None while there is none."""
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
        """Give it up."""
        self._connection.close()
