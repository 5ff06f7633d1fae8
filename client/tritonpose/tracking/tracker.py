"""Tell from frame to frame who is who."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.errors import ConfigError
from tritonpose.tracking.association import sigmas_of
from tritonpose.tracking.matching import Matching
from tritonpose.tracking.result import TrackedResult
from tritonpose.tracking.settings import TrackingSettings
from tritonpose.tracking.tracks import Track

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.result import KeypointResult
    from tritonpose.transport.messages import PoseResponse

    Array = NDArray[np.float64]

STATE_VERSION = 1


class Tracker:
    """The people of one source, from frame to frame. For one thread at a time.

    What it knows is small: `state` saves it, and `from_state` goes on from there with the same
    numbers.

    Args:
        settings: Who counts as the same person.
    """

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self.settings = TrackingSettings() if settings is None else settings
        self._tracks: list[Track] = []
        self._next_id = 1
        self._time: float | None = None

    def update(
        self, result: KeypointResult, time: float, source: str | None = None
    ) -> TrackedResult:
        """Give the people of the next frame their numbers.

        Args:
            result: What the pipeline found in it, with detector scores from ``weak_threshold`` of
                the settings up.
            time: Of the frame, in seconds; not before that of the frame before.
            source: The name of the source; by default the result's ``input_path``.

        Returns:
            The people who are shown, in the order of the result, with keypoints calmed as the
            settings say. A result with an error stays one, and changes nothing.

        Raises:
            ConfigError: The time is no number, or goes back.
        """
        source = result["input_path"] if source is None else source
        if result.error is not None:
            return TrackedResult(result, None, (), time, source)
        self._advance(time)
        people = result.arrays
        keypoints = people.keypoints.astype(np.float64)
        self._drop_other_models(keypoints.shape[1])
        boxes, scores = people.boxes.astype(np.float64), people.det_scores.astype(np.float64)
        sigmas = sigmas_of(people.schema)
        matching = Matching(self._tracks, boxes, keypoints, scores, sigmas, self.settings)
        return self._finish(result, people, time, source, matching)

    def _finish(
        self,
        result: KeypointResult,
        people: PoseResponse,
        time: float,
        source: str | None,
        matching: Matching,
    ) -> TrackedResult:
        """Take in who was seen, begin tracks of strangers, and make the result."""
        is_first = self._time is None
        self._time = time
        track_of = matching.track_of
        keypoints = people.keypoints.astype(np.float64)
        boxes = people.boxes.astype(np.float64)
        for row, track in track_of.items():
            score = float(people.det_scores[row])
            doubted = track in matching.crowded or score < self.settings.det_threshold
            track.see(boxes[row], keypoints[row], score, time, doubted=doubted)
            if track.id is None:
                track.id = self._new_id()
        for track in self._tracks:
            track.lost = track.seen != time
        self._tracks = [
            track
            for track in self._tracks
            if not track.lost
            or (track.id is not None and time - track.seen <= self.settings.keep_s)
        ]
        shown = []
        for row, score in enumerate(people.det_scores.tolist()):
            if row not in track_of:
                if score < self.settings.det_threshold or row in matching.doubles:
                    continue
                if score >= self.settings.new_threshold:
                    track = Track.begin(boxes[row], keypoints[row], score, time, self.settings)
                    if is_first:
                        track.id = self._new_id()
                    self._tracks.append(track)
                    track_of[row] = track
            shown.append(row)
        calmed = people.keypoints[shown]
        for index, row in enumerate(shown):
            if row in track_of and self.settings.smooth:
                calmed[index] = track_of[row].shown()
        return TrackedResult(
            result,
            replace(
                people,
                boxes=people.boxes[shown],
                det_scores=people.det_scores[shown],
                keypoints=calmed,
                kpt_scores=people.kpt_scores[shown],
            ),
            [track_of[row].id if row in track_of else None for row in shown],
            time,
            source,
        )

    def _advance(self, time: float) -> None:
        """Go on to the time of the next frame; raise ConfigError."""
        if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
            raise ConfigError(f"time={time!r}: expected the frame's time in seconds")
        if self._time is None:
            return
        if time < self._time:
            raise ConfigError(
                f"time={time!r} is before {self._time!r}, that of the last frame: frames come in "
                "order; make another Tracker for another video"
            )
        for track in self._tracks:
            track.motion.advance(time - self._time, lost=track.lost)

    def _drop_other_models(self, joints: int) -> None:
        """Forget the poses of another keypoint model, which can't be compared."""
        self._tracks = [track for track in self._tracks if len(track.keypoints) == joints]

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def state(self) -> dict[str, Any]:
        """Return all it knows, in types that JSON knows: a few kilobytes per person."""
        return {
            "version": STATE_VERSION,
            "settings": asdict(self.settings),
            "next_id": self._next_id,
            "time": self._time,
            "tracks": [track.state() for track in self._tracks],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tracker:
        """Make the tracker that goes on where the one of this `state` was.

        Raises:
            ConfigError: It is no such state, or one of another version.
        """
        if not isinstance(state, Mapping) or state.get("version") != STATE_VERSION:
            raise ConfigError("state: expected what Tracker.state() of this version returned")
        try:
            tracker = cls(TrackingSettings(**state["settings"]))
            tracker._next_id = int(state["next_id"])
            tracker._time = None if state["time"] is None else float(state["time"])
            tracker._tracks = [
                Track.from_state(track, tracker.settings) for track in state["tracks"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"state: it is damaged: {error!r}") from error
        return tracker
