"""The asynchronous twin of `tritonpose.pipeline`: the same results, for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Generator
from contextlib import aclosing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tritonpose._requests import (
    PredictOptions,
    failed_result,
    load_images,
    request_for,
    result_of,
    unreadable_result,
)
from tritonpose.base_pipeline import CLOSED, BasePipeline, OnError, deliver
from tritonpose.errors import InputError, TritonPoseError
from tritonpose.inputs import expand_inputs
from tritonpose.result import KeypointResult
from tritonpose.saving import TakenNames
from tritonpose.transport import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import numpy as np
    from numpy.typing import NDArray

    from tritonpose.inputs import ImageInput
    from tritonpose.tracking.result import TrackedResult
    from tritonpose.tracking.schedule import Schedule

T = TypeVar("T")
AsyncResults = AsyncGenerator[KeypointResult, None]
AsyncTracked = AsyncGenerator["TrackedResult", None]

_END = object()


class AsyncPipeline(BasePipeline[AsyncTransport, AsyncResults, AsyncTracked]):
    """PaddleX's human keypoint pipeline, run by a server or in this process, for one event loop.

    It belongs to the first that uses it: in another one it is a TritonPoseError.

    Use it with ``async with``, or call `close`. Images are read and decoded in threads. Its
    arguments are those of `BasePipeline`.
    """

    def _set_up(self) -> None:
        self._slots = asyncio.Semaphore(self._max_in_flight)
        self._large = asyncio.Lock()
        self._scopes: set[_TaskScope] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        """Cancel the requests in flight and close the connection; may be called again."""
        if self._closed:
            return
        self._check_loop()
        self._closed = True
        for scope in list(self._scopes):
            await scope.cancel()
        await self._transport.close()

    async def __aenter__(self) -> AsyncPipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _stream(
        self, inputs: object, options: PredictOptions, on_error: OnError
    ) -> AsyncResults:
        self._check_loop()
        names = TakenNames()
        scope = _TaskScope()
        self._scopes.add(scope)
        window: asyncio.Queue[asyncio.Task[list[KeypointResult]] | None] = asyncio.Queue()
        room = asyncio.Semaphore(self._window)

        async def fill_window() -> None:
            try:
                async with aclosing(_sources(inputs)) as sources:
                    await room.acquire()
                    async for source in sources:
                        boxes = None
                        if options.boxes is not None:
                            # In a thread: those of an iterator may have to be waited for.
                            source, boxes = await asyncio.to_thread(options.boxes.take, source)
                        window.put_nowait(scope.start(self._run(source, options, boxes)))
                        await room.acquire()
                if options.boxes is not None:
                    options.boxes.finish()
            finally:
                window.put_nowait(None)

        try:
            filling = scope.start(fill_window())
            while (task := await window.get()) is not None:
                results = await self._outcome(task)
                room.release()
                for result in deliver(results, on_error, names):
                    yield result
            # An error of the caller's iterator, after all results before it.
            await self._outcome(filling)
        finally:
            await scope.cancel()
            self._scopes.discard(scope)

    def _check_loop(self) -> None:
        """Raise TritonPoseError in another event loop than the first, which has the connections."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise TritonPoseError(
                "this AsyncPipeline belongs to another event loop, in which it was first used: "
                "each asyncio.run() makes one. Create the pipeline within the coroutine that you "
                "run, and close it there"
            )

    async def _outcome(self, task: asyncio.Task[T]) -> T:
        """Wait for one of our tasks; being cancelled meanwhile leaves it as it is."""
        await asyncio.wait([task])
        if task.cancelled():
            raise RuntimeError(CLOSED)
        return task.result()

    async def _run(
        self, source: object, options: PredictOptions, boxes: NDArray[np.float32] | None
    ) -> list[KeypointResult]:
        async with self._slots:
            try:
                images = await asyncio.to_thread(load_images, source, boxes)
            except InputError as error:
                return [unreadable_result(source, error)]
            return [await self._infer(image, options, boxes) for image in images]

    def _event_loop(self) -> asyncio.AbstractEventLoop | None:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return None

    async def _track(self, schedule: Schedule, on_error: OnError) -> AsyncTracked:
        names = TakenNames()
        tracked = self._follow(schedule)
        whole = schedule.whole
        if whole is not None:
            async with aclosing(tracked):
                async for result in tracked:
                    whole.add(result)
                    if result.error is not None and on_error == "raise":
                        break
            tracked = _in_threads(whole.results())
        async with aclosing(tracked):
            async for result in tracked:
                for named in deliver([result], on_error, names, result.source_index):
                    yield named

    async def _follow(self, schedule: Schedule) -> AsyncTracked:
        """Yield the results of a schedule as they come, also those with errors."""
        self._check_loop()
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        scope = _TaskScope()
        self._scopes.add(scope)

        async def infer(image: ImageInput, boxes: NDArray[np.float32] | None) -> KeypointResult:
            async with self._slots:
                return await self._infer(image, schedule.options, boxes)

        try:
            schedule.start(
                partial(loop.call_soon_threadsafe, changed.set),
                lambda image, boxes: scope.start(infer(image, boxes)),
            )
            while not schedule.ended:
                changed.clear()
                while not self._closed and (result := schedule.next()) is not None:
                    yield result
                if self._closed:
                    raise RuntimeError(CLOSED)
                if not schedule.ended:
                    await changed.wait()
        finally:
            await asyncio.to_thread(schedule.stop)
            await scope.cancel()
            self._scopes.discard(scope)

    async def _infer(
        self, image: ImageInput, options: PredictOptions, boxes: NDArray[np.float32] | None
    ) -> KeypointResult:
        try:
            make_request = partial(
                request_for, image, self._config, options.threshold, boxes, options.roi
            )
            async with self._large if image.is_large else nullcontext():
                request = await asyncio.to_thread(make_request) if image.is_page else make_request()
                response = await self._transport.infer(request)
            return result_of(image, response, self._config.keypoints)
        except TritonPoseError as error:
            # Looks into the image, if that may be the reason.
            return await asyncio.to_thread(failed_result, image, error)


async def _in_threads(items: Generator[T, None, None]) -> AsyncGenerator[T, None]:
    """Yield the items of a generator that may block."""
    try:
        while (item := await asyncio.to_thread(next, items, _END)) is not _END:
            yield cast("T", item)
    finally:
        # Where this is cancelled, a thread may be in it still; the last to leave it closes it.
        if inspect.getgeneratorstate(items) != inspect.GEN_RUNNING:
            items.close()


async def _sources(inputs: object) -> AsyncGenerator[object, None]:
    """Flatten the argument of ``predict`` without blocking the event loop."""
    if isinstance(inputs, AsyncIterable):
        async for item in inputs:
            async for source in _sources(item):
                yield source
    else:
        async with aclosing(_in_threads(expand_inputs(inputs))) as sources:
            async for source in sources:
                yield source


class _TaskScope:
    """Hold tasks until they are done, so that all others can be cancelled.

    `asyncio.TaskGroup` belongs to a block of one task, but generators may be left half way and
    closed by another task.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def cancel(self) -> None:
        """Cancel the tasks and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Retrieve the error, or asyncio would log it as never retrieved.
            task.exception()
