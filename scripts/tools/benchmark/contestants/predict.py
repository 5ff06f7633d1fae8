"""The client's ``pipeline.predict`` over many files."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

from tools.benchmark.contestants.triton import TritonContestant
from tools.benchmark.load import Rate, stream_rate
from tools.benchmark.shots import Shot
from tritonpose import create_pipeline
from tritonpose.config import PIPELINE_NAME
from tritonpose_server.embedded.server import EmbeddedServer


class PredictContestant(TritonContestant):
    """Ours over gRPC, by the client's pipeline object; for images per second only.

    Args:
        server: The running server.
    """

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__("predict", "tritonpose, predict()", server.grpc_url, server)
        self._url = server.grpc_url

    def rate(self, shots: Sequence[Shot], concurrency: int, skip: int, count: int) -> Rate:
        """Results per second of ``predict`` over an endless list of the shots' files."""
        files = (str(shot.path) for shot in itertools.cycle(shots))
        with (
            create_pipeline(PIPELINE_NAME, url=self._url, max_in_flight=concurrency) as pipeline,
            contextlib.closing(pipeline.predict(files)) as results,
        ):
            return Rate(stream_rate(results, skip, count), skip + count + concurrency)
