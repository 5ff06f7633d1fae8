"""How the REST service runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RestSettings:
    """How the REST service runs.

    Attributes:
        triton_url: The Triton server behind it, ``grpc://HOST:PORT`` or ``http://HOST:PORT``.
        host: Address to listen on.
        port: Port to listen on.
        visualize: Whether a request that doesn't say gets a picture.
        max_body_bytes: Size of a request's body; larger ones get 413.
        max_in_flight: Requests accepted at the same time; more get 503 at once.
        receive_timeout: Seconds a client gets to send its request; then it gets 408.
        triton_timeout: Seconds Triton gets to answer; then the client gets 504.
        shutdown_timeout: Seconds that requests under way get to finish when the service stops.
        workers: Threads that read large bodies and draw pictures.
    """

    triton_url: str
    host: str = "127.0.0.1"
    port: int = 8080
    visualize: bool = True
    max_body_bytes: int = 20_000_000
    max_in_flight: int = 128
    receive_timeout: float = 30.0
    triton_timeout: float = 60.0
    shutdown_timeout: float = 10.0
    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
