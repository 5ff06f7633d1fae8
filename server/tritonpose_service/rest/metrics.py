"""What is counted, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONTENT_TYPE", "Metrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Numbers of one service, about requests for keypoints alone."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        """Start at zero.

        Args:
            in_flight: Tells how many requests are under way.
        """
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tritonpose_rest_requests",
            "Requests for keypoints by HTTP status; 499 for clients that hung up.",
            ["status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tritonpose_rest_request_seconds",
            "From a request's first byte to its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._persons = Counter(
            "tritonpose_rest_persons", "Persons found.", registry=self._registry
        )
        Gauge(
            "tritonpose_rest_requests_in_flight", "Requests under way.", registry=self._registry
        ).set_function(in_flight)

    def request(self, status: int, seconds: float) -> None:
        """Counts a request."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def persons(self, count: int) -> None:
        """Counts persons that were found."""
        self._persons.inc(count)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
