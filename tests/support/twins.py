"""The two twins of the client under one interface, so that both take the same tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tritonpose import KeypointResult, create_async_pipeline, create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer

EVERY_CLIENT = pytest.mark.parametrize(
    ("scheme", "asynchronous"),
    [("grpc", False), ("http", False), ("grpc", True), ("http", True)],
    ids=["grpc", "http", "grpc-async", "http-async"],
)
"""Both twins over both protocols."""

ONE_OF_EACH = pytest.mark.parametrize(
    ("scheme", "asynchronous"), [("grpc", False), ("http", True)], ids=["grpc", "http-async"]
)
"""Both twins and both protocols, for tests that take long."""


def url_of(server: EmbeddedServer, scheme: str) -> str:
    """Return the address of a server's ``grpc`` or ``http`` port."""
    return server.grpc_url if scheme == "grpc" else server.http_url


def predict_each(
    asynchronous: bool,
    inputs: object,
    visit: Callable[[KeypointResult], object],
    *,
    on_error: Any = "raise",
    det_threshold: float | None = None,
    **arguments: Any,
) -> None:
    """Sends images by a pipeline of its own.

    Args:
        asynchronous: Which of the twins.
        inputs: The images.
        visit: Called with each result.
        on_error: Of ``predict``.
        det_threshold: Of ``predict``.
        **arguments: Of ``create_pipeline``.
    """
    if not asynchronous:
        with create_pipeline("human_keypoint_detection", **arguments) as pipeline:
            for result in pipeline.predict(inputs, det_threshold, on_error=on_error):
                visit(result)
        return

    async def predict() -> None:
        async with create_async_pipeline("human_keypoint_detection", **arguments) as pipeline:
            async for result in pipeline.predict(inputs, det_threshold, on_error=on_error):
                visit(result)

    asyncio.run(predict())


def predict_all(asynchronous: bool, inputs: object, **arguments: Any) -> list[KeypointResult]:
    """Sends images by a pipeline of its own and collects the results; see `predict_each`."""
    results: list[KeypointResult] = []
    predict_each(asynchronous, inputs, results.append, **arguments)
    return results
