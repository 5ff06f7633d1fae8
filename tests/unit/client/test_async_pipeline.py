"""What only the asynchronous pipeline does: cancelling, and leaving the event loop free."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import stand_ins
from stand_ins import Frame, frame, frames, number_of, response
from tritonpose import (
    AsyncPipeline,
    ConfigError,
    InputError,
    KeypointResult,
    create_async_pipeline,
)
from tritonpose.async_pipeline import _in_threads
from tritonpose.transport.messages import InferRequest, PoseResponse


async def answer(_number: int) -> None:
    """Answers at once."""


class StandIn(stand_ins.StandIn):
    """A transport whose `behave` waits in the event loop."""

    def __init__(self, behave: Callable[[int], Awaitable[object]] = answer) -> None:
        super().__init__()
        self.wait = behave
        self.cancelled = 0

    async def infer(self, request: InferRequest) -> PoseResponse:  # type: ignore[override]
        number = self.begin(request)
        try:
            await self.wait(number)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.end()
        return response(number)

    async def close(self) -> None:  # type: ignore[override]
        self.closed += 1


async def numbers(results: AsyncIterator[KeypointResult]) -> list[int]:
    return [number_of(result) async for result in results]


def in_event_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test and makes sure that it left no task behind."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        async def check() -> None:
            await asyncio.wait_for(test(**fixtures), timeout=60)
            gc.collect()
            # Abandoned generators are closed by tasks of their own.
            for _ in range(5):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(check())

    return run


@in_event_loop
async def test_no_more_requests_in_flight_than_allowed_over_all_calls() -> None:
    transport = StandIn(lambda _: asyncio.sleep(0.002))
    async with AsyncPipeline(transport, max_in_flight=3) as pipeline:
        both = await asyncio.gather(
            numbers(pipeline.predict(frames(12))), numbers(pipeline.predict(frames(12)))
        )
    assert list(both) == [list(range(12))] * 2
    assert transport.most_running == 3


@in_event_loop
async def test_a_blocking_iterator_does_not_block_the_event_loop() -> None:
    threads = set()

    released = threading.Event()

    def camera() -> Iterator[Frame]:
        threads.add(threading.current_thread())
        assert released.wait(timeout=30)
        yield frame(5)

    async with AsyncPipeline(StandIn()) as pipeline:
        task = asyncio.create_task(numbers(pipeline.predict(camera())))
        await asyncio.sleep(0.02)
        released.set()
        assert await task == [5]
    assert threading.current_thread() not in threads


@in_event_loop
async def test_cancelling_does_not_wait_for_a_blocking_iterator() -> None:
    began, released, closed = threading.Event(), threading.Event(), threading.Event()

    def camera() -> Iterator[Frame]:
        try:
            began.set()
            released.wait(30)
            yield frame(5)
        finally:
            closed.set()

    task = asyncio.create_task(anext(_in_threads(camera())))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # On Python 3.10 it keeps the frame that was cancelled, and with it the iterator.
    del task
    assert not closed.is_set()
    released.set()
    assert await asyncio.to_thread(closed.wait, 30)


@in_event_loop
async def test_files_are_read_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = []
    original = Path.open

    def opened(path: Path, *arguments: Any) -> Any:
        readers.append(threading.current_thread())
        return original(path, *arguments)

    monkeypatch.setattr(Path, "open", opened)

    async with AsyncPipeline(StandIn()) as pipeline:
        (result,) = [
            result
            async for result in pipeline.predict(tmp_path / "missing.jpg", on_error="collect")
        ]
    assert isinstance(result.error, InputError)
    assert readers
    assert threading.current_thread() not in readers


@in_event_loop
async def test_cancelling_the_consumer_cancels_its_requests() -> None:
    forever = asyncio.Event()
    transport = StandIn(lambda number: forever.wait() if number else answer(number))
    async with AsyncPipeline(transport, max_in_flight=3) as pipeline:
        task = asyncio.create_task(numbers(pipeline.predict(frames(100))))
        while transport.running < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (transport.running, transport.cancelled) == (0, 3)
        # The pipeline itself is as good as before.
        assert await numbers(pipeline.predict(frame(0))) == [0]


@in_event_loop
async def test_leaving_the_loop_early_cancels_the_rest() -> None:
    transport = StandIn(lambda _: asyncio.sleep(0.01))
    pipeline = AsyncPipeline(transport, max_in_flight=3)
    async for _ in pipeline.predict(frames(100)):
        break
    gc.collect()
    await asyncio.sleep(0.05)
    sent = len(transport.requests)
    await asyncio.sleep(0.05)
    assert len(transport.requests) == sent <= 1 + 2 * 3
    assert transport.running == 0
    await pipeline.close()


@in_event_loop
async def test_closing_ends_those_who_still_wait() -> None:
    forever = asyncio.Event()
    transport = StandIn(lambda _: forever.wait())
    pipeline = AsyncPipeline(transport, max_in_flight=2)
    task = asyncio.create_task(numbers(pipeline.predict(frames(10))))
    while transport.running < 2:
        await asyncio.sleep(0.001)
    await pipeline.close()
    await pipeline.close()
    with pytest.raises(RuntimeError, match="closed"):
        await task
    assert transport.running == 0
    with pytest.raises(RuntimeError, match="closed"):
        pipeline.predict(frame(1))


def test_made_without_an_event_loop() -> None:
    with pytest.raises(ConfigError, match="expected cpu"):
        create_async_pipeline("human_keypoint_detection", device="tpu")
    pipeline = create_async_pipeline("human_keypoint_detection", url="grpc://localhost:9")
    asyncio.run(pipeline.close())
