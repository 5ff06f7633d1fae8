"""Spans of a model's batches, where OpenTelemetry's environment variables ask for traces."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritonpose_pipeline.telemetry.otel import TracingNotInstalledError
from tritonpose_pipeline.telemetry.spans import Spans, pop_context


@dataclass(frozen=True)
class Batch:
    """A batch that runs.

    Attributes:
        start: When Triton formed it, in ns of ``time.perf_counter_ns``.
        contexts: The trace context that came with each of its requests, none for no trace.
    """

    start: int
    contexts: Sequence[Mapping[str, str]]


class BatchSpans:
    """Makes a span of each request of a batch; that of all takes as long as the batch."""

    def __init__(self, model: str, warn: Callable[[str], None]) -> None:
        """Prepare what environment variables ask for.

        Args:
            model: The model's name.
            warn: Told where traces are asked for, but can't be sent.
        """
        self._model = model
        try:
            self._spans = Spans.from_environment(os.environ, f"tritonpose-{model}")
        except TracingNotInstalledError as error:
            warn(str(error))
            self._spans = Spans(None)

    def begin(self, requests: Sequence[Any]) -> Batch:
        """Note that a batch begins.

        Args:
            requests: Triton's requests.
        """
        contexts = (
            [pop_context(json.loads(request.parameters() or "{}")) for request in requests]
            if self._spans.active
            else []
        )
        return Batch(time.perf_counter_ns(), contexts)

    def end(self, batch: Batch, counts: Sequence[int]) -> None:
        """Make the spans of a batch that ends now.

        Args:
            batch: What ``begin`` gave.
            counts: Images of each of its requests.
        """
        end = time.perf_counter_ns()
        for context, count in zip(batch.contexts, counts, strict=False):
            images = {"tritonpose.images": count, "tritonpose.batch_images": sum(counts)}
            self._spans.note(self._model, context, batch.start, end, images)

    def close(self) -> None:
        """Send what is left."""
        self._spans.close()
