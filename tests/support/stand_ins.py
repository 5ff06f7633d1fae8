"""A transport that stands in for servers, and both kinds of pipelines under one interface."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonpose import AsyncPipeline, HumanKeypointPipeline, KeypointResult
from tritonpose.transport.messages import InferRequest, PoseResponse

Frame = NDArray[np.uint8]
_END = object()


class StandIn:
    """A transport that keeps a record, and answers with a number taken from the image it got.

    So a result can be told to belong to its input. `behave` gets that number, and may wait or fail.
    """

    def __init__(self, behave: Callable[[int], Any] = lambda _: None) -> None:
        self.behave = behave
        self.requests: list[InferRequest] = []
        self.running = self.most_running = self.closed = 0
        self.lock = threading.Lock()

    def infer(self, request: InferRequest) -> PoseResponse:
        number = self.begin(request)
        try:
            self.behave(number)
        finally:
            self.end()
        return self.answer(request, number)

    def answer(self, request: InferRequest, number: int) -> PoseResponse:
        """Make the answer."""
        del request
        return response(number)

    def close(self) -> None:
        self.closed += 1

    def begin(self, request: InferRequest) -> int:
        with self.lock:
            self.requests.append(request)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        return 0 if request.frame is None else int(request.frame[0, 0, 0])

    def end(self) -> None:
        with self.lock:
            self.running -= 1


class AsyncStandIn:
    """Makes a stand-in's transport asynchronous."""

    def __init__(self, transport: StandIn) -> None:
        self.transport = transport

    async def infer(self, request: InferRequest) -> PoseResponse:
        number = self.transport.begin(request)
        try:
            await asyncio.to_thread(self.transport.behave, number)
        finally:
            self.transport.end()
        return self.transport.answer(request, number)

    async def close(self) -> None:
        self.transport.close()


class Pipeline:
    """A pipeline used without an event loop; it takes a pipeline's arguments.

    Its `kind` is "sync", "async" or "async inputs": asynchronous, as are the iterators it gets.
    """

    def __init__(self, kind: str, transport: StandIn, *arguments: Any, **options: Any) -> None:
        self.kind = kind
        self.loop: asyncio.AbstractEventLoop | None = None
        if kind == "sync":
            self.wrapped: Any = HumanKeypointPipeline(transport, *arguments, **options)
        else:
            self.wrapped = AsyncPipeline(AsyncStandIn(transport), *arguments, **options)
            self.loop = asyncio.new_event_loop()

    def predict(self, inputs: object, *arguments: Any, **options: Any) -> Iterator[KeypointResult]:
        if self.kind == "async inputs" and isinstance(inputs, Iterator):
            inputs = _asynchronous(inputs)
        results = self.wrapped.predict(inputs, *arguments, **options)
        return results if self.loop is None else _in_loop(self.loop, results)

    def track(self, source: object, **options: Any) -> Iterator[Any]:
        if self.kind == "async inputs" and isinstance(source, Iterator):
            source = _asynchronous(source)
        if self.loop is None:
            return iter(self.wrapped.track(source, **options))

        async def start() -> Any:
            # In the loop, which runs asynchronous iterators.
            return self.wrapped.track(source, **options)

        return _in_loop(self.loop, self.loop.run_until_complete(start()))

    def close(self) -> None:
        closing = self.wrapped.close()
        if self.loop is not None:
            self.loop.run_until_complete(closing)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


async def _asynchronous(items: Iterator[object]) -> AsyncIterator[object]:
    # In threads, as some of the tests' iterators wait.
    while (item := await asyncio.to_thread(next, items, _END)) is not _END:
        yield item


def _in_loop(loop: asyncio.AbstractEventLoop, results: Any) -> Iterator[KeypointResult]:
    async def following() -> KeypointResult | None:
        return await anext(results, None)

    try:
        while (result := loop.run_until_complete(following())) is not None:
            yield result
    finally:
        if not loop.is_closed():
            loop.run_until_complete(results.aclose())


def response(number: int) -> PoseResponse:
    scores = np.array([number], dtype=np.float32)
    return PoseResponse(
        np.zeros((1, 4), np.float32), scores, np.zeros((1, 17, 3), np.float32), scores
    )


def frame(number: int) -> Frame:
    return np.full((4, 6, 3), number, dtype=np.uint8)


def frames(count: int) -> Iterator[Frame]:
    return (frame(number) for number in range(count))


def number_of(result: KeypointResult) -> int:
    return int(result["boxes"][0]["det_score"])


def numbers(results: Iterable[KeypointResult]) -> list[int]:
    return [number_of(result) for result in results]
