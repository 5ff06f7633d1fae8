"""The project's pipeline in the caller's process: ``create_pipeline(url="local:")``.

Served by ``line_server``; its argument holds the content of a PaddleX pipeline file, as JSON.
"""

from __future__ import annotations

import json
from typing import Any

from tools.benchmark.load import Rate, measure_rate
from tritonpose import KeypointResult, create_pipeline

Sample = dict[str, Any]

# More in flight than any plan of the benchmark has.
_MOST_IN_FLIGHT = 64


class LocalPipeline:
    """The pipeline. A sample is a mapping with ``path`` and ``det_threshold``."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._pipeline = create_pipeline(
            config=content, url="local:", max_in_flight=_MOST_IN_FLIGHT
        )

    def estimate(self, sample: Sample) -> KeypointResult:
        """Find the people in an image."""
        (result,) = self._pipeline.predict(sample["path"], sample["det_threshold"])
        return result

    def people(self, result: KeypointResult) -> list[dict[str, Any]]:
        """Convert a result to JSON."""
        people: list[dict[str, Any]] = result.json["res"]["boxes"]
        return people

    def rate(self, samples: list[Sample], concurrency: int, skip: int, count: int) -> Rate:
        """Measure images per second; see `measure_rate`."""
        return measure_rate(self.estimate, samples, concurrency, skip, count)


def open_worker(content: str) -> LocalPipeline:
    """Make the pipeline, which loads its models with the first image."""
    return LocalPipeline(json.loads(content))
