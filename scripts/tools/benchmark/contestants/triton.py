"""Ours, over Triton's protocols."""

from __future__ import annotations

from tools.benchmark.contestants.base import CalledContestant
from tools.benchmark.shots import Shot
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.embedded.server import EmbeddedServer

TIMEOUT_SECONDS = 600.0


class TritonContestant(CalledContestant):
    """The served pipeline, called by the client's transport alone.

    Args:
        key: See `Contestant`.
        label: See `Contestant`.
        url: Of the server: ``grpc://`` or ``http://``.
        server: The running server.
    """

    def __init__(self, key: str, label: str, url: str, server: EmbeddedServer) -> None:
        super().__init__(key, label, "ours", parallel=True)
        self._server = server
        self._transport = connect(url, TIMEOUT_SECONDS)

    def answer(self, shot: Shot) -> PoseResponse:
        """The persons in an image."""
        return self._transport.infer(
            InferRequest(image=shot.path.read_bytes(), det_threshold=shot.det_threshold)
        )

    def processes(self) -> list[int]:
        """The server."""
        return [] if self._server.pid is None else [self._server.pid]

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()
