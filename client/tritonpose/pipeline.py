"""Run many images through a server: several in flight, results in order."""

from __future__ import annotations

import copy
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from tritonpose._requests import (
    Wishes,
    failed_result,
    load_images,
    request_for,
    result_of,
    unreadable_result,
)
from tritonpose.config import PipelineConfig, check_threshold, is_positive
from tritonpose.errors import ConfigError, InputError, TritonPoseError
from tritonpose.forks import leave_behind, renew_in_children
from tritonpose.given_boxes import GivenBoxes, checked_roi
from tritonpose.inputs import expand_inputs
from tritonpose.result import KeypointResult
from tritonpose.saving import TakenNames
from tritonpose.transport import AsyncTransport, Transport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from tritonpose.inputs import ImageInput

OnError = Literal["raise", "collect"]

AnyTransport = TypeVar("AnyTransport", bound=Transport | AsyncTransport)
AnyResults = TypeVar("AnyResults")
Results = Generator[KeypointResult, None, None]

CLOSED = "this pipeline is closed; create another one"
"""The message of the RuntimeError of a closed pipeline."""

_READ_AHEAD = 2
"""Inputs read ahead, in multiples of ``max_in_flight``.

Results come in order, so that those behind a slow one have to wait: with no more room than there
are requests in flight, the server would wait with them.
"""


class BasePipeline(Generic[AnyTransport, AnyResults]):
    """PaddleX's human keypoint pipeline, run by a server.

    It is its settings: copies, in other processes as well, make connections of their own.

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
        transport: AnyTransport,
        config: PipelineConfig | None = None,
        *,
        max_in_flight: int = 8,
    ) -> None:
        if not is_positive(max_in_flight):
            raise ConfigError(f"max_in_flight={max_in_flight!r}: expected a positive whole number")
        self._transport = transport
        self._config = PipelineConfig() if config is None else config
        self._max_in_flight = max_in_flight
        self._window = _READ_AHEAD * max_in_flight
        self._closed = False
        self._set_up(max_in_flight)

    @property
    def url(self) -> str:
        """Where it runs: ``local:`` for this process, else the servers."""
        return self._transport.url

    def __reduce__(self) -> tuple[Any, ...]:
        if self._closed:
            raise RuntimeError(CLOSED)
        remake = partial(type(self), max_in_flight=self._max_in_flight)
        return remake, (self._transport, self._config)

    def __copy__(self) -> Self:
        return copy.deepcopy(self)

    def predict(
        self,
        input: object,  # noqa: A002 (PaddleX's name for it)
        det_threshold: float | Mapping[Any, float] | None = None,
        *,
        threshold: float | Mapping[Any, float] | None = None,
        boxes: object = None,
        roi: object = None,
        on_error: OnError = "raise",
        **others: object,
    ) -> AnyResults:
        """Find the people in images and their keypoints.

        Args:
            input: An array (H, W, 3) uint8, BGR; the path of an image, of a video or of a
                directory (all images and videos in it and below, sorted); an http or https URL
                of an image; or a list, tuple or iterator of these. Iterators and videos are
                read as results are taken, so they may be endless. `AsyncPipeline` also takes an
                asynchronous iterator, and reads others in threads, one item at a time, as they
                may block.
            det_threshold: Lowest detection score, 0 to 1; or a mapping of the detector's classes
                (labels or ids) to such scores, where others have 0.5. Default from the
                configuration, else from the server.
            threshold: Another name for `det_threshold`.
            boxes: People found elsewhere, so that no detector runs: (N, 4), x1, y1, x2, y2 in
                pixels of the image, turned by its orientation tag; N may be 0. For several images
                a list or iterator of such, one for each in their order (of a video, for each
                frame), or a dict of such by path; None among them lets the detector look. The
                result keeps their order, with detector scores of 1.
            roi: Region of interest, for all images: a polygon [[x, y], ...] in pixels, of 3 to 1000
                corners. People whose box's bottom edge has its middle outside are left out, and not
                estimated.
            on_error: "raise" raises an image's error after all earlier results, and ends. "collect"
                yields a result without boxes, whose ``error`` says what happened, and goes on.
            **others: Further arguments of PaddleX's, accepted with a warning: no request carries
                them.

        Returns:
            A generator (`AsyncPipeline`: an asynchronous one) of one `KeypointResult` per image,
            in the order of the inputs. Closing it waits for the requests in flight and sends no
            more; `AsyncPipeline` cancels them, also if the task that waits for it is cancelled.

        Raises:
            ConfigError: An argument is wrong; at the call. `boxes` are not as many as the images,
                or those of an iterator are wrong; while iterating, after all earlier results.
            RuntimeError: The pipeline is closed; at the call, or while iterating.
            TritonPoseError: While iterating, unless collected.
        """
        if self._closed:
            raise RuntimeError(CLOSED)
        if on_error not in ("raise", "collect"):
            raise ConfigError(f"on_error={on_error!r}: expected 'raise' or 'collect'")
        if others:
            warnings.warn(
                f"{', '.join(others)}: unknown to this pipeline's predict, without effect",
                stacklevel=2,
            )
        named = check_threshold(det_threshold, "det_threshold")
        short = check_threshold(threshold, "threshold")
        if named is not None and short is not None and named != short:
            raise ConfigError(
                f"det_threshold={named} and threshold={short}: two names of one setting; give one"
            )
        choices = (named, short, self._config.detector.threshold)
        wishes = Wishes(
            next((choice for choice in choices if choice is not None), None),
            None if boxes is None else GivenBoxes(boxes),
            checked_roi(roi),
        )
        return self._stream(input, wishes, on_error)

    __call__ = predict

    def _set_up(self, max_in_flight: int) -> None:
        """Make what bounds the requests in flight."""
        raise NotImplementedError

    def _stream(self, inputs: object, wishes: Wishes, on_error: OnError) -> AnyResults:
        """Keep a window of requests in flight and yield their results in order."""
        raise NotImplementedError


class HumanKeypointPipeline(BasePipeline[Transport, Results]):
    """PaddleX's human keypoint pipeline, run by a server. Safe to use from several threads.

    Use it as a context manager, or call `close`. Its arguments are those of `BasePipeline`. Forked
    processes may use it, with connections of their own, and close it without effect on the parent's
    (over gRPC unless their parent has used gRPC by asyncio: then that is a TritonPoseError).
    """

    def _set_up(self, max_in_flight: int) -> None:
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="tritonpose")
        self._large = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with threads of its own, in a forked process."""
        leave_behind(self._pool)
        self._pool = ThreadPoolExecutor(self._max_in_flight, thread_name_prefix="tritonpose")
        self._large = threading.Lock()

    def close(self) -> None:
        """Wait for the requests in flight and close the connection; may be called again."""
        self._closed = True
        self._pool.shutdown()
        self._transport.close()

    def __enter__(self) -> HumanKeypointPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stream(self, inputs: object, wishes: Wishes, on_error: OnError) -> Results:
        window: deque[Future[list[KeypointResult]]] = deque()
        pool = self._pool
        names = TakenNames()
        try:
            for future in self._submit_all(inputs, wishes):
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

    def _submit_all(self, inputs: object, wishes: Wishes) -> Iterator[Future[list[KeypointResult]]]:
        """Submit each input to a worker; an error of the caller's iterator becomes the last item.

        So earlier results are yielded before that error is raised.
        """
        try:
            for source in expand_inputs(inputs):
                if self._closed:
                    raise RuntimeError(CLOSED)
                boxes = None
                if wishes.boxes is not None:
                    source, boxes = wishes.boxes.take(source)
                # In the caller's context, which has its trace.
                yield self._pool.submit(copy_context().run, self._run, source, wishes, boxes)
            if wishes.boxes is not None:
                wishes.boxes.finish()
        except Exception as error:
            failed: Future[list[KeypointResult]] = Future()
            failed.set_exception(error)
            yield failed

    def _run(
        self, source: object, wishes: Wishes, boxes: NDArray[np.float32] | None
    ) -> list[KeypointResult]:
        """Read one input and infer it, in a worker; errors end up in the results."""
        try:
            images = load_images(source, boxes)
        except InputError as error:
            return [unreadable_result(source, error)]
        return [self._infer(image, wishes, boxes) for image in images]

    def _infer(
        self, image: ImageInput, wishes: Wishes, boxes: NDArray[np.float32] | None
    ) -> KeypointResult:
        try:
            with self._large if image.is_large else nullcontext():
                response = self._transport.infer(
                    request_for(image, self._config, wishes.threshold, boxes, wishes.roi)
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


def deliver(
    results: list[KeypointResult], on_error: OnError, names: TakenNames
) -> Iterator[KeypointResult]:
    """Name results and yield them; raise the error of one, unless errors are collected."""
    for result in results:
        if result.error is not None and on_error == "raise":
            raise result.error
        result.name_apart(names)
        yield result
