"""Share a server fairly among the frames of several sources, and keep each source's order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tritonpose.errors import InputError
from tritonpose.inputs.images import ImageInput
from tritonpose.result import KeypointResult
from tritonpose.tracking.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tritonpose._requests import PredictOptions
    from tritonpose.tracking.feed import Feed
    from tritonpose.tracking.offline import WholeTracks
    from tritonpose.tracking.plan import DetectionPlan
    from tritonpose.tracking.regions import Regions
    from tritonpose.tracking.result import TrackedResult
    from tritonpose.tracking.tracker import Tracker
    from tritonpose.transport.messages import PoseResponse

    Send = Callable[[ImageInput, NDArray[np.float32] | None], "Answer"]


_LIVE_PENDING = 2
"""Frames of one camera that may be on their way."""


class Answer(Protocol):
    """What both kinds of futures have in common."""

    def done(self) -> bool:
        """Whether there is a result."""
        ...

    def result(self) -> KeypointResult:
        """Return it."""
        ...

    def cancel(self) -> bool:
        """Give it up."""
        ...

    def add_done_callback(self, function: Callable[[Any], Any], /) -> object:
        """Have a function called once it is done."""
        ...


def _known(result: KeypointResult) -> Answer:
    """Make the answer in the place of a frame that is never sent."""
    answer: Future[KeypointResult] = Future()
    answer.set_result(result)
    return answer


class _Pending(NamedTuple):
    """A frame on its way: its time, where people are followed, and what its plan knows."""

    time: float
    regions: Regions | None
    answer: Answer
    was_planned: bool
    saw_cut: bool | None


class SourceRun:
    """One source on its way: its frames, its requests in flight, its tracker."""

    def __init__(
        self, feed: Feed, tracker: Tracker, plan: DetectionPlan, most_pending: int
    ) -> None:
        self.feed = feed
        self.tracker = tracker
        self.submitted = self.taken = 0
        self._plan = plan
        self._most_pending = most_pending
        self._pending: deque[_Pending] = deque()
        self._time = 0.0
        self._nobody: PoseResponse | None = None

    @property
    def ended(self) -> bool:
        """Whether all its results were taken."""
        return not self._pending and self.feed.ended

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return sum(not one.answer.done() for one in self._pending)

    @property
    def has_result(self) -> bool:
        """Whether the answer of its oldest frame is there."""
        return bool(self._pending) and self._pending[0].answer.done()

    @property
    def may_submit(self) -> bool:
        """Whether a frame waits and may be sent."""
        # Frames of a camera are better replaced by newer ones than queued.
        most = _LIVE_PENDING if self.feed.source.live else self._most_pending
        return len(self._pending) < most and self.feed.waits and self._plan.is_ready

    def submit(self, send: Send, pace: Pace) -> Answer:
        """Send the next frame, and note how long its answer takes."""
        name = self.feed.source.name
        item = self.feed.take()
        regions = None
        if isinstance(item, InputError):
            answer: Answer = _known(KeypointResult(name, error=item))
        else:
            self._time = item.time
            image = ImageInput(name, item.image, frame_index=item.index, frame_time=item.time)
            regions = self._plan.take(item)
            if regions is not None and not regions.keys and self._nobody is not None:
                answer = _known(KeypointResult(**vars(image), boxes=self._nobody))
            else:
                boxes = None if regions is None else regions.boxes
                answer = send(image, boxes)
                if self.feed.source.live:
                    kind, sent = (id(self), None if boxes is None else len(boxes)), monotonic()
                    answer.add_done_callback(lambda _: pace.note(kind, monotonic() - sent))
        is_frame = not isinstance(item, InputError)
        self._pending.append(_Pending(self._time, regions, answer, is_frame, self._plan.saw_cut))
        return answer

    def take(self) -> TrackedResult | None:
        """Return the result of its oldest frame; only where it `has_result`.

        None for a camera's frame that turns out to be damaged.
        """
        time, regions, answer, was_planned, saw_cut = self._pending.popleft()
        found, name = answer.result(), self.feed.source.name
        if regions is None:
            result = self.tracker.update(found, time, name, cut=saw_cut)
        else:
            result = self.tracker.follow(found, regions, time, name)
        if was_planned:
            self._plan.note(self.tracker, regions, time, live=self.feed.source.live)
        if found.error is None:
            people = found.arrays
            self._nobody = replace(
                people,
                boxes=people.boxes[:0],
                det_scores=people.det_scores[:0],
                keypoints=people.keypoints[:0],
                kpt_scores=people.kpt_scores[:0],
            )
        elif was_planned and self.feed.source.live and isinstance(found.error, InputError):
            self.feed.source.dropped += 1
            return None
        return result

    def cancel(self) -> list[Answer]:
        """Give up what is in flight, and return it."""
        answers = [one.answer for one in self._pending]
        for answer in answers:
            answer.cancel()
        return answers


class Schedule:
    """Sources that share a server: each has its turn, and none waits for another.

    ``options`` are what each request asks for, ``limit`` is how many may be in flight, of all
    sources together; ``whole`` is given where results are smoothed in the end.
    """

    def __init__(
        self,
        runs: Sequence[SourceRun],
        options: PredictOptions,
        limit: int,
        whole: WholeTracks | None = None,
    ) -> None:
        self.options = options
        self.whole = whole
        self._runs = runs
        self._limit = limit
        self._pace = Pace(limit)
        self._turn = 0
        self._send: Send | None = None
        self._notify: Callable[[], object] = lambda: None

    @property
    def ended(self) -> bool:
        """Whether all results of all sources were taken."""
        return all(run.ended for run in self._runs)

    def start(self, notify: Callable[[], object], send: Send) -> None:
        """Begin to read.

        ``notify`` is called, from any thread, when `next` may have a result; ``send`` sends a frame
        with the `options`, and maybe with boxes.
        """
        self._notify, self._send = notify, send
        for run in self._runs:
            run.feed.start(notify)

    def next(self) -> TrackedResult | None:
        """Take the next result, of the source that waits longest; None if there is none yet.

        Later frames are on their way when it returns, but no tracker has seen them: its state is
        that of the result.
        """
        self._submit_all()
        while ready := [run for run in self._runs if run.has_result]:
            run = min(ready, key=lambda run: run.taken)
            self._turn += 1
            run.taken = self._turn
            result = run.take()
            self._submit_all()
            if result is not None:
                result.source_index = self._runs.index(run)
                return result
        return None

    def stop(self) -> list[Answer]:
        """End reading and give up what is in flight, which is returned."""
        answers = [answer for run in self._runs for answer in run.cancel()]
        for run in self._runs:
            run.feed.stop()
        for run in self._runs:
            run.feed.join()
        return answers

    def _submit_all(self) -> None:
        """Send frames as long as there is room: of each source in turn."""
        while self._send and sum(run.in_flight for run in self._runs) < self._limit:
            live = sum(run.in_flight for run in self._runs if run.feed.source.live)
            waiting = [run for run in self._runs if run.may_submit]
            if not self._pace.has_room(live):
                waiting = [run for run in waiting if not run.feed.source.live]
            if not waiting:
                return
            run = min(waiting, key=lambda run: run.submitted)
            self._turn += 1
            run.submitted = self._turn
            run.submit(self._send, self._pace).add_done_callback(lambda _: self._notify())
