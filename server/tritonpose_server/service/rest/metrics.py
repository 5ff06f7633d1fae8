"""What is counted, for Prometheus."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["BUSY", "CONTENT_TYPE", "HUNG_UP", "STAGES", "TRITON_BUSY", "Metrics"]

_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


STAGES = ("read", "fetch", "triton", "write")
"""The parts of a request's way."""

BUSY = "busy"
"""Reason of a request that was refused because too many were under way."""

TRITON_BUSY = "triton_busy"
"""Reason of a request that the pipeline refused because it was full, or too late."""

HUNG_UP = 499
"""Status of a request whose client hung up; nginx's number for it."""

# Why a request got no result, by the status of its answer.
_REASONS = {
    401: "api_key",
    403: "url",
    408: "slow_body",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    HUNG_UP: "hung_up",
    500: "internal",
    502: "url_host",
    503: "triton_unavailable",
    504: "triton_timeout",
}


class Metrics:
    """Numbers of one service, about requests for keypoints alone."""

    def __init__(self, in_flight: Callable[[], int], receiving: Callable[[], int]) -> None:
        """Start at zero.

        Args:
            in_flight: Tells how many requests are worked on.
            receiving: Tells of how many the body is being received.
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
        self._stages = Histogram(
            "tritonpose_rest_stage_seconds",
            "Reading a request, fetching its image, waiting for Triton, writing the answer.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rejections = Counter(
            "tritonpose_rest_rejections",
            "Requests without a result.",
            ["reason"],
            registry=self._registry,
        )
        # At zero from the start, for the first of a kind to count as an increase.
        for status in (int(HTTPStatus.OK), *_REASONS):
            self._requests.labels(str(status))
        for stage in STAGES:
            self._stages.labels(stage)
        for reason in (BUSY, TRITON_BUSY, *_REASONS.values()):
            self._rejections.labels(reason)
        self._persons = Counter(
            "tritonpose_rest_persons", "Persons found.", registry=self._registry
        )
        Gauge(
            "tritonpose_rest_requests_in_flight", "Requests worked on.", registry=self._registry
        ).set_function(in_flight)
        Gauge(
            "tritonpose_rest_requests_receiving",
            "Requests whose body is being received.",
            registry=self._registry,
        ).set_function(receiving)

    def request(self, status: int, seconds: float, reason: str | None = None) -> None:
        """Counts a request.

        Args:
            status: Of its answer.
            seconds: How long it took.
            reason: Why it got no result, where the status doesn't say it.
        """
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)
        if status >= HTTPStatus.BAD_REQUEST:
            self._rejections.labels(reason or _REASONS.get(status, "other")).inc()

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Times what runs within, one of ``STAGES``."""
        return self._stages.labels(name).time()

    def persons(self, count: int) -> None:
        """Counts persons that were found."""
        self._persons.inc(count)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
