"""Run many images through a server: several in flight, results in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from contextvars import copy_context
from typing import TYPE_CHECKING

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
from tritonpose.forks import leave_behind, renew_in_children
from tritonpose.inputs import expand_inputs
from tritonpose.result import KeypointResult
from tritonpose.saving import TakenNames
from tritonpose.transport import Transport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tritonpose.inputs import ImageInput
    from tritonpose.tracking.result import TrackedResult
    from tritonpose.tracking.schedule import Schedule

Results = Generator[KeypointResult, None, None]
Tracked = Generator["TrackedResult", None, None]

_LOOK_UP_S = 1.0


class HumanKeypointPipeline(BasePipeline[Transport, Results, Tracked]):
    """PaddleX's human keypoint pipeline, run by a server or in this process.

    Safe to use from several threads.

    Use it as a context manager, or call `close`. Its arguments are those of `BasePipeline`. Forked
    processes may use it, with connections of their own, and close it without effect on the parent's
    (over gRPC unless their parent has used gRPC by asyncio: then that is a TritonPoseError).
    """

    def _set_up(self) -> None:
        self._pool = ThreadPoolExecutor(self._max_in_flight, thread_name_prefix="tritonpose")
        self._large = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with threads of its own, in a forked process."""
        leave_behind(self._pool)
        self._set_up()

    def close(self) -> None:
        """Wait for the requests in flight and close the connection; may be called again."""
        self._closed = True
        self._pool.shutdown()
        self._transport.close()

    def __enter__(self) -> HumanKeypointPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stream(self, inputs: object, options: PredictOptions, on_error: OnError) -> Results:
        window: deque[Future[list[KeypointResult]]] = deque()
        pool = self._pool
        names = TakenNames()
        try:
            for future in self._submit_all(inputs, options):
                window.append(future)
                # Finished results go out before more is read, or those of a slow camera would
                # be held back until the window is full.
                while window and (len(window) >= self._window or window[0].done()):
                    yield from _take_first(window, on_error, names)
                    self._check_process(pool)
            while window:
                yield from _take_first(window, on_error, names)
                self._check_process(pool)
        finally:
            # In a forked process nobody works on them.
            if self._pool is pool:
                for future in window:
                    future.cancel()
                wait(window)

    def _check_process(self, pool: ThreadPoolExecutor) -> None:
        """Raise RuntimeError where this process was forked since the pool was made."""
        if self._pool is not pool:
            raise RuntimeError(
                "this generator of results began before the process was forked: call predict again"
            )

    def _submit_all(
        self, inputs: object, options: PredictOptions
    ) -> Iterator[Future[list[KeypointResult]]]:
        """Submit each input to a worker; an error of the caller's iterator becomes the last item.

        So earlier results are yielded before that error is raised.
        """
        try:
            for source in expand_inputs(inputs):
                if self._closed:
                    raise RuntimeError(CLOSED)
                boxes = None
                if options.boxes is not None:
                    source, boxes = options.boxes.take(source)
                # In the caller's context, which has its trace.
                yield self._pool.submit(copy_context().run, self._run, source, options, boxes)
            if options.boxes is not None:
                options.boxes.finish()
        except Exception as error:
            failed: Future[list[KeypointResult]] = Future()
            failed.set_exception(error)
            yield failed

    def _run(
        self, source: object, options: PredictOptions, boxes: NDArray[np.float32] | None
    ) -> list[KeypointResult]:
        """Read one input and infer it, in a worker; errors end up in the results."""
        try:
            images = load_images(source, boxes)
        except InputError as error:
            return [unreadable_result(source, error)]
        return [self._infer(image, options, boxes) for image in images]

    def _track(self, schedule: Schedule, on_error: OnError) -> Tracked:
        names = TakenNames()
        tracked = self._follow(schedule)
        whole = schedule.whole
        if whole is not None:
            with closing(tracked):
                for result in tracked:
                    whole.add(result)
                    if result.error is not None and on_error == "raise":
                        break
            tracked = whole.results()
        with closing(tracked):
            for result in tracked:
                yield from deliver([result], on_error, names, result.source_index)

    def _follow(self, schedule: Schedule) -> Tracked:
        """Yield the results of a schedule as they come, also those with errors."""
        pool = self._pool
        changed = threading.Event()

        def send(image: ImageInput, boxes: NDArray[np.float32] | None) -> Future[KeypointResult]:
            if self._closed:
                raise RuntimeError(CLOSED)
            run = copy_context().run
            return pool.submit(run, self._infer, image, schedule.options, boxes)

        try:
            schedule.start(changed.set, send)
            while not schedule.ended:
                changed.clear()
                while (result := schedule.next()) is not None:
                    yield result
                    self._check_process(pool)
                # Once closed, nothing more is sent, and a camera may give nothing for long.
                while not (schedule.ended or changed.wait(_LOOK_UP_S)):
                    if self._closed:
                        raise RuntimeError(CLOSED)
        finally:
            # In a forked process nobody reads or works on them.
            if self._pool is pool:
                wait([answer for answer in schedule.stop() if isinstance(answer, Future)])

    def _infer(
        self, image: ImageInput, options: PredictOptions, boxes: NDArray[np.float32] | None
    ) -> KeypointResult:
        try:
            with self._large if image.is_large else nullcontext():
                response = self._transport.infer(
                    request_for(image, self._config, options.threshold, boxes, options.roi)
                )
            return result_of(image, response, self._config.keypoints)
        except TritonPoseError as error:
            return failed_result(image, error)


def _take_first(
    window: deque[Future[list[KeypointResult]]], on_error: OnError, names: TakenNames
) -> Results:
    """Wait for the oldest request, drop it from the window and yield its results."""
    # Dropped only once it's done: an interrupt while waiting leaves it to be cleaned up.
    results = window[0].result()
    window.popleft()
    yield from deliver(results, on_error, names)
