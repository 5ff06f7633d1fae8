"""Run many images through a server: several in flight, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TYPE_CHECKING

from tritonpose._predict_arguments import (
    CLOSED,
    READ_AHEAD,
    OnError,
    check_max_in_flight,
    check_on_error,
    choose_threshold,
    deliver,
)
from tritonpose._requests import failed_result, request_for, result_of, unreadable_result
from tritonpose.config import PipelineConfig
from tritonpose.errors import InputError, TritonPoseError
from tritonpose.inputs import expand_inputs, load_source
from tritonpose.result import KeypointResult

if TYPE_CHECKING:
    from types import TracebackType

    from tritonpose.inputs import ImageInput
    from tritonpose.transport import Transport

Results = Generator[KeypointResult, None, None]


class HumanKeypointPipeline:
    """PaddleX's human keypoint pipeline, run by a server. Safe to use from several threads.

    Use it as a context manager, or call `close`.

    Args:
        transport: The connection; closed with the pipeline.
        config: What to ask of the server; by default its own settings.
        max_in_flight: How many images may be in flight at once, per pipeline. No more than
            twice as many are read ahead of the result that was yielded last.

    Raises:
        ConfigError: `max_in_flight` isn't a positive whole number.
    """

    def __init__(
        self,
        transport: Transport,
        config: PipelineConfig | None = None,
        *,
        max_in_flight: int = 8,
    ) -> None:
        self._transport = transport
        self._config = PipelineConfig() if config is None else config
        self._window = READ_AHEAD * check_max_in_flight(max_in_flight)
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="tritonpose")
        self._closed = False

    def predict(
        self,
        input: object,  # noqa: A002 (PaddleX's name for it)
        det_threshold: float | None = None,
        *,
        threshold: float | None = None,
        on_error: OnError = "raise",
    ) -> Results:
        """Find the people in images and their keypoints.

        Args:
            input: An array (H, W, 3) uint8, BGR; the path of an image, of a video or of a
                directory (all images and videos in it and below, sorted); an http or https URL
                of an image; or a list, tuple or iterator of these. Iterators and videos are
                read as results are taken, so they may be endless.
            det_threshold: Lowest detection score, 0 to 1; default from the configuration, else
                from the server.
            threshold: Another name for `det_threshold`.
            on_error: "raise" raises an image's error after all earlier results, and ends. "collect"
                yields a result without boxes, whose ``error`` says what happened, and goes on.

        Returns:
            A generator of one `KeypointResult` per image, in the order of the inputs. Closing
            it waits for the requests in flight and sends no more.

        Raises:
            ConfigError: `det_threshold`, `threshold` or `on_error` is wrong; at the call.
            RuntimeError: The pipeline is closed; at the call, or while iterating.
            TritonPoseError: While iterating, unless collected.
        """
        if self._closed:
            raise RuntimeError(CLOSED)
        check_on_error(on_error)
        return self._stream(
            input, choose_threshold(det_threshold, threshold, self._config), on_error
        )

    __call__ = predict

    def close(self) -> None:
        """Wait for the requests in flight and close the connection; may be called again."""
        self._closed = True
        self._pool.shutdown()
        self._transport.close()

    def __enter__(self) -> HumanKeypointPipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
