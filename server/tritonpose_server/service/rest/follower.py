"""Follow people from image to image: the detector looks now and then, the tracker between."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tritonpose.inputs.decoding import decode_small
from tritonpose.inputs.videos import Frame
from tritonpose.result import KeypointResult
from tritonpose.tracking.plan import DetectionPlan
from tritonpose.tracking.settings import TrackingSettings
from tritonpose.tracking.tracker import Tracker
from tritonpose.transport.messages import InferRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from tritonpose.tracking.plan import DetInterval
    from tritonpose.tracking.regions import Regions
    from tritonpose.tracking.result import TrackedResult
    from tritonpose.transport.messages import PoseResponse

    InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class Follower:
    """The people of one stream. Where a request fails, the detector looks in the next image."""

    def __init__(self, in_thread: InThread) -> None:
        """Begin with nobody; ``in_thread`` runs what takes long."""
        self._in_thread = in_thread
        self._tracker = Tracker()
        self._interval: DetInterval = "auto"
        self._roi: NDArray[np.float32] | None = None
        self._plan = DetectionPlan(self._interval)
        self._planned = False
        self._regions: Regions | None = None
        self._image = b""

    def change(self, changes: Mapping[str, Any]) -> None:
        """Take what a client says of the images that follow, by the names of its message."""
        if "roi" in changes:
            self._roi = changes["roi"]
        if "detInterval" in changes:
            self._interval = changes["detInterval"] or "auto"
            self._plan = DetectionPlan(self._interval)
        settings = self._tracker.settings
        if "detThreshold" in changes:
            threshold = changes["detThreshold"]
            usual = TrackingSettings().det_threshold
            settings = settings.with_threshold(usual if threshold is None else threshold)
        if "smooth" in changes:
            settings = replace(settings, smooth=changes["smooth"])
        self._tracker.settings = settings

    def restart(self) -> None:
        """Forget everybody: what follows is another scene."""
        self._tracker = Tracker(self._tracker.settings)
        self._plan = DetectionPlan(self._interval)

    async def request(self, image: bytes, log_id: str) -> InferRequest:
        """Make the request for the next image; then comes `take` or `fail`."""
        self._regions = regions = await self._plan_next(image)
        if regions is not None:
            return InferRequest(image=image, person_boxes=regions.boxes, request_id=log_id)
        return InferRequest(
            image=image,
            det_threshold=self._tracker.settings.weak_threshold,
            roi=self._roi,
            request_id=log_id,
        )

    def take(self, people: PoseResponse, time: float) -> TrackedResult:
        """Take in the people found in it, at a time in seconds."""
        found = KeypointResult(None, self._image, people, truncated=people.truncated)
        regions, tracker = self._regions, self._tracker
        if regions is None:
            result = tracker.update(found, time, cut=self._plan.saw_cut)
        else:
            result = tracker.follow(found, regions, time)
        if self._planned:
            # One image at a time, as of a camera: each plan is made of all images before it.
            self._plan.note(tracker, regions, time, live=True)
        return result

    def fail(self) -> None:
        """Note that the request failed: the detector looks in the next image."""
        self._plan = DetectionPlan(self._interval)

    async def _plan_next(self, image: bytes) -> Regions | None:
        """Say where to look for people; None: everywhere, by the detector."""
        self._image = image
        # Where it can't be, the pipeline says what is wrong with it.
        small = await self._in_thread(partial(decode_small, image))
        self._planned = small is not None
        if small is None:
            self.fail()
            return None
        return self._plan.take(Frame(small, 0, 0.0))
