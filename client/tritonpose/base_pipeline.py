"""What both pipelines have in common: their arguments, which are checked at the call."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from tritonpose._requests import PredictOptions
from tritonpose.config import PipelineConfig, check_threshold, is_positive
from tritonpose.errors import ConfigError
from tritonpose.given_boxes import GivenBoxes, checked_roi
from tritonpose.result import KeypointResult
from tritonpose.transport import AsyncTransport, Transport

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from typing_extensions import Self

    from tritonpose.saving import TakenNames
    from tritonpose.tracking.schedule import Schedule
    from tritonpose.tracking.tracker import Tracker

OnError = Literal["raise", "collect"]

AnyTransport = TypeVar("AnyTransport", bound=Transport | AsyncTransport)
AnyResults = TypeVar("AnyResults")
AnyTracked = TypeVar("AnyTracked")
AnyResult = TypeVar("AnyResult", bound=KeypointResult)

CLOSED = "this pipeline is closed; create another one"
"""The message of the RuntimeError of a closed pipeline."""

_READ_AHEAD = 2
"""Inputs read ahead, in multiples of ``max_in_flight``.

Results come in order, so that those behind a slow one have to wait: with no more room than there
are requests in flight, the server would wait with them.
"""


class BasePipeline(Generic[AnyTransport, AnyResults, AnyTracked]):
    """PaddleX's human keypoint pipeline, run by a server or in this process.

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
        self._set_up()

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
            det_threshold: Detector score that a person must exceed, 0 to 1; or a mapping of the
                detector's classes (labels or ids) to such scores, where others have 0.5. Default
                from the configuration, else from the server.
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
        _check_on_error(on_error)
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
        options = PredictOptions(
            next((choice for choice in choices if choice is not None), None),
            None if boxes is None else GivenBoxes(boxes),
            checked_roi(roi),
        )
        return self._stream(input, options, on_error)

    __call__ = predict

    def track(
        self,
        source: object,
        *,
        det_threshold: float | Mapping[Any, float] | None = None,
        det_interval: int | Literal["auto"] = 1,
        smooth: bool | Literal["offline"] = True,
        roi: object = None,
        tracker: Tracker | None = None,
        on_error: OnError = "raise",
    ) -> AnyTracked:
        """Follow people through videos and camera streams; each person keeps an id.

        Args:
            source: The path of a video; a camera, 0 or ``/dev/video0``; an rtsp, http or https
                address; an iterator of frames, or of pairs of a frame and its time in seconds;
                or a list of these.
            det_threshold: Detector score that a person must exceed, 0 to 1; weaker detections only
                continue tracks. Default from the configuration, else 0.5. A mapping is as in
                `predict`, and weaker detections are not used then.
            det_interval: Run the detector in every frame (1), in every k-th, or "auto": as rarely
                as possible, at least in every tenth. In the frames between, boxes are predicted
                from the keypoints. The detector runs early when keypoint scores drop, a person
                reaches the border, or the scene changes.
            smooth: Whether the keypoints are smoothed; "offline" takes each person's whole track
                first, so that the first result comes after the last frame was read.
            roi: As in `predict`.
            tracker: The tracker to continue with; its settings must agree with `det_threshold`
                and `smooth`. By default a new one.
            on_error: As in `predict`.

        Returns:
            A generator (`AsyncPipeline`: an asynchronous one) of one `TrackedResult` per frame:
            those of one source in order, those of several as they come.

        Raises:
            ConfigError: An argument is wrong; at the call.
            RuntimeError: The pipeline is closed; at the call, or while iterating.
            TritonPoseError: While iterating, unless collected.
        """
        from tritonpose.tracking.run import plan_tracking

        if self._closed:
            raise RuntimeError(CLOSED)
        _check_on_error(on_error)
        schedule = plan_tracking(
            source,
            check_threshold(det_threshold, "det_threshold"),
            self._config.detector.threshold,
            det_interval,
            smooth,
            roi,
            tracker,
            self._max_in_flight,
            self._event_loop(),
        )
        return self._track(schedule, on_error)

    def _set_up(self) -> None:
        """Make what bounds the requests in flight."""
        raise NotImplementedError

    def _stream(self, inputs: object, options: PredictOptions, on_error: OnError) -> AnyResults:
        """Keep a window of requests in flight and yield their results in order."""
        raise NotImplementedError

    def _event_loop(self) -> AbstractEventLoop | None:
        """Return what runs asynchronous iterators, if there is any."""
        return None

    def _track(self, schedule: Schedule, on_error: OnError) -> AnyTracked:
        """Yield the results of a schedule as they come."""
        raise NotImplementedError


def deliver(
    results: list[AnyResult], on_error: OnError, names: TakenNames, source: int = 0
) -> Iterator[AnyResult]:
    """Name results of a source and yield them; raise an error, unless they are collected."""
    for result in results:
        if result.error is not None and on_error == "raise":
            raise result.error
        result.name_apart(names, source)
        yield result


def _check_on_error(on_error: object) -> None:
    if on_error not in ("raise", "collect"):
        raise ConfigError(f"on_error={on_error!r}: expected 'raise' or 'collect'")
