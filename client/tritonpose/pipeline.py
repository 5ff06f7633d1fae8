"""Run many images through a server: several in flight, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TYPE_CHECKING

from tritonpose._base_pipeline import CLOSED, BasePipeline, OnError, deliver
from tritonpose._requests import failed_result, request_for, result_of, unreadable_result
from tritonpose.errors import InputError, TritonPoseError
from tritonpose.inputs import expand_inputs, load_source
from tritonpose.result import KeypointResult

if TYPE_CHECKING:
    from tritonpose.config import PipelineConfig
    from tritonpose.inputs import ImageInput
    from tritonpose.transport import Transport

Results = Generator[KeypointResult, None, None]


class HumanKeypointPipeline(BasePipeline["Transport", Results]):
    """PaddleX's human keypoint pipeline, run by a server. Safe to use from several threads.

    Use it as a context manager, or call `close`. Its arguments are those of `BasePipeline`.
    """

    def __init__(
        self,
        transport: Transport,
        config: PipelineConfig | None = None,
        *,
        max_in_flight: int = 8,
    ) -> None:
        super().__init__(transport, config, max_in_flight=max_in_flight)
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="tritonpose")

    def close(self) -> None:
        """Wait for the requests in flight and close the connection; may be called again."""
        self._closed = True
        self._pool.shutdown()
        self._transport.close()

    def __enter__(self) -> HumanKeypointPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stream(self, inputs: object, threshold: float | None, on_error: OnError) -> Results:
        """Keep a window of requests in flight and yield their results in order."""
        window: deque[Future[list[KeypointResult]]] = deque()
        try:
            for future in self._submit_all(inputs, threshold):
                window.append(future)
                # Finished results go out before more is read, or those of a slow camera would
                # be held back until the window is full.
                while window and (len(window) >= self._window or window[0].done()):
                    yield from _take_first(window, on_error)
            while window:
                yield from _take_first(window, on_error)
        finally:
            for future in window:
                future.cancel()
            wait(window)

    def _submit_all(
        self, inputs: object, threshold: float | None
    ) -> Iterator[Future[list[KeypointResult]]]:
        """Submit each input to a worker; an error of the caller's iterator becomes the last item.

        So earlier results are yielded before that error is raised.
        """
        try:
            for source in expand_inputs(inputs):
                if self._closed:
                    raise RuntimeError(CLOSED)
                # In the caller's context, which has its trace.
                yield self._pool.submit(copy_context().run, self._run, source, threshold)
        except Exception as error:
            failed: Future[list[KeypointResult]] = Future()
            failed.set_exception(error)
            yield failed

    def _run(self, source: object, threshold: float | None) -> list[KeypointResult]:
        """Read one input and infer it, in a worker; errors end up in the results."""
        try:
            images = load_source(source)
        except InputError as error:
            return [unreadable_result(source, error)]
        return [self._infer(image, threshold) for image in images]

    def _infer(self, image: ImageInput, threshold: float | None) -> KeypointResult:
        try:
            response = self._transport.infer(request_for(image, self._config, threshold))
        except TritonPoseError as error:
            return failed_result(image, error)
        return result_of(image, response)


def _take_first(window: deque[Future[list[KeypointResult]]], on_error: OnError) -> Results:
    """Wait for the oldest request, drop it from the window and yield its results."""
    # Dropped only once it's done: an interrupt while waiting leaves it to be cleaned up.
    results = window[0].result()
    window.popleft()
    yield from deliver(results, on_error)
