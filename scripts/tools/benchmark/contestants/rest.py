"""REST services with PaddleX's contract: its own basic serving, and ours."""

from __future__ import annotations

import base64
import http
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import urllib3

from tools.benchmark.contestants.base import CalledContestant, Role
from tools.benchmark.contestants.triton import TIMEOUT_SECONDS
from tools.benchmark.http_service import HttpService
from tools.benchmark.shots import Shot
from tools.errors import BenchmarkError
from tritonpose.transport.messages import PoseResponse

_PATH = "/human-keypoint-detection"
_CONNECTIONS = 64


class RestContestant(CalledContestant):
    """A REST service that answers with numbers only: no picture is drawn.

    Args:
        key: See `Contestant`.
        label: See `Contestant`.
        role: See `Contestant`.
        service: The running service; closed with this.
        behind: Roots of other processes that work for it.
    """

    def __init__(
        self,
        key: str,
        label: str,
        role: Role,
        service: HttpService,
        behind: Sequence[int] = (),
    ) -> None:
        super().__init__(key, label, role, parallel=True)
        self._service = service
        self._behind = behind
        # It notices connections that the service has closed while it was idle.
        self._pool = urllib3.connection_from_url(
            service.url, maxsize=_CONNECTIONS, timeout=TIMEOUT_SECONDS, retries=False
        )

    def answer(self, shot: Shot) -> PoseResponse:
        """The persons in an image."""
        body: dict[str, object] = {
            "image": base64.b64encode(shot.path.read_bytes()).decode("ascii"),
            "visualize": False,
        }
        if shot.det_threshold is not None:
            body["detThreshold"] = shot.det_threshold
        try:
            response = self._pool.request(
                "POST", _PATH, body=json.dumps(body), headers={"Content-Type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            raise BenchmarkError(f"{self.label} does not answer: {error}") from error
        content = json.loads(response.data)
        if response.status != http.HTTPStatus.OK:
            raise BenchmarkError(f"{self.label} refused {shot.path.name}: {content}")
        return response_of(content["result"]["persons"])

    def processes(self) -> list[int]:
        """The service and what is behind it."""
        return [*self._service.processes(), *self._behind]

    def close(self) -> None:
        """Stop the service."""
        self._pool.close()
        self._service.close()


def response_of(persons: Sequence[Mapping[str, Any]]) -> PoseResponse:
    """The people in ``result.persons`` of an answer."""

    def array(key: str, *shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array([person[key] for person in persons], np.float32).reshape(-1, *shape)

    return PoseResponse(
        array("bbox", 4), array("detScore"), array("kpts", 17, 3), array("kptScore")
    )
