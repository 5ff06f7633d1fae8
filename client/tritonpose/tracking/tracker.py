"""Tell from frame to frame who is who."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.errors import ConfigError
from tritonpose.inputs.decoding import size_of
from tritonpose.tracking.appearance import limb_colors
from tritonpose.tracking.association import sigmas_of
from tritonpose.tracking.cuts import SceneCuts, is_new_scene
from tritonpose.tracking.following import judge, reaches_border
from tritonpose.tracking.matching import Matching, crowded
from tritonpose.tracking.regions import Regions
from tritonpose.tracking.result import TrackedResult
from tritonpose.tracking.saved import saved_count, saved_number
from tritonpose.tracking.settings import TrackingSettings
from tritonpose.tracking.tracks import Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tritonpose.result import KeypointResult
    from tritonpose.transport.messages import PoseResponse

    Array = NDArray[np.float64]

STATE_VERSION = 2

# Somebody moves as expected whose joints keep within this, in sizes of the person; for this long,
# and for no more frames, nobody looks for such people.
_AS_FORESEEN = 0.015
_COAST_S = 0.1
_COAST_FRAMES = 2

# More people, of a frame and in all, are no crowd but a mistake, or a server's attack: time and
# memory grow by the square of their number.
_MOST_PEOPLE, _MOST_TRACKS = 300, 500


class Tracker:
    """The people of one source, from frame to frame. For one thread at a time.

    What it knows is small: `state` saves it, and `from_state` continues with the same ids.

    Args:
        settings: Who counts as the same person.

    Attributes:
        trouble: Whether somebody was new or got lost in the last frame, or a followed pose went
            wrong, so that a detector should look again.
    """

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self.settings = TrackingSettings() if settings is None else settings
        self.trouble = False
        self._tracks: list[Track] = []
        self._next_id = self._next_key = 1
        self._time: float | None = None
        self._step = 0.0
        self._cuts = SceneCuts()

    def update(
        self,
        result: KeypointResult,
        time: float,
        source: str | None = None,
        *,
        cut: bool | None = None,
    ) -> TrackedResult:
        """Give the people of the next frame their ids.

        Args:
            result: What the pipeline found in it, with detector scores from ``weak_threshold`` of
                the settings up.
            time: Of the frame, in seconds; not before that of the frame before.
            source: The name of the source; by default the result's ``input_path``.
            cut: Whether another scene seems to begin with this frame; by default that is seen by
                its pixels, or, where the result has only a file, by the people.

        Returns:
            The people who are shown, in the order of the result, with keypoints smoothed as the
            settings say. A result with an error stays one, and changes nothing.

        Raises:
            ConfigError: The time is not a number, or goes back; or there are too many people.
        """
        source = result["input_path"] if source is None else source
        if result.error is not None:
            return TrackedResult(result, None, (), time, source)
        is_first = self._time is None
        self._advance(time)
        people = result.arrays
        if len(people.boxes) > _MOST_PEOPLE:
            raise ConfigError(
                f"there are {len(people.boxes)} people in a frame, of whom up to {_MOST_PEOPLE} "
                "can be followed: raise det_threshold, or give a region of interest"
            )
        keypoints = people.keypoints.astype(np.float64)
        boxes, scores = people.boxes.astype(np.float64), people.det_scores.astype(np.float64)
        sigmas = sigmas_of(people.schema)
        limbs = people.schema.skeleton
        self._drop_other_models(keypoints.shape[1], len(limbs))
        colors, image = np.zeros((len(boxes), len(limbs), 4)), result.held_image()
        if isinstance(image, np.ndarray):
            sizes = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
            colors = limb_colors(image, keypoints, sizes, limbs)
            cut = self._cuts.sees(image) if cut is None else cut
        sure = scores > self.settings.det_threshold
        if is_new_scene(cut, self._tracks, keypoints[sure], colors[sure], sigmas, self._step):
            for track in self._tracks:
                track.cut = track.lost = True
            is_first = True
        matching = Matching(self._tracks, boxes, keypoints, scores, sigmas, colors, self.settings)
        track_of = matching.track_of
        for row, track in track_of.items():
            doubted = track in matching.crowded or scores[row] <= self.settings.det_threshold
            score = float(scores[row])
            track.see(boxes[row], keypoints[row], score, colors[row], time, doubted=doubted)
            if track.id is None:
                track.id = self._new_id()
        self.trouble = self._leave(time)
        shown = []
        for row, score in enumerate(scores.tolist()):
            if row not in track_of:
                if score <= self.settings.det_threshold or row in matching.doubles:
                    continue
                if score >= self.settings.new_threshold:
                    seen = boxes[row], keypoints[row], score, colors[row], time
                    track = Track.begin(self._next_key, *seen, self.settings)
                    self._next_key += 1
                    self._tracks.append(track)
                    if is_first:
                        track.id = self._new_id()
                    self.trouble |= track.id is None
                    track_of[row] = track
            shown.append(row)
        size = size_of(result.held_image())
        for track in track_of.values():
            track.at_border = reaches_border(track.region, size)
        return self._show(result, people, shown, track_of, source)

    def regions(self, *, sparse: bool = False) -> Regions:
        """Say where to look for the people of the last frame, the surest detections first.

        With ``sparse`` nobody looks for people who move as expected in some of the frames.
        """
        seen = [track for track in self._tracks if not track.lost and track.id is not None]
        seen.sort(key=lambda track: -track.score)
        most = min(int(_COAST_S / self._step + 1e-9), _COAST_FRAMES) if self._step > 0 else 0
        coasting = []
        for track in seen:
            if sparse and track.surprise < _AS_FORESEEN and track.coasted < most:
                track.coasted += 1
                coasting.append(track)
            else:
                track.coasted = 0
        looked_for = [track for track in seen if track not in coasting]
        boxes = np.array([track.region for track in looked_for], np.float32).reshape(-1, 4)
        return Regions(
            tuple(track.key for track in looked_for),
            boxes,
            tuple(track.key for track in coasting),
        )

    def follow(
        self, result: KeypointResult, regions: Regions, time: float, source: str | None = None
    ) -> TrackedResult:
        """Take in what was found in regions, without a detector.

        Args:
            result: What the pipeline found in the frame with ``boxes`` of the `regions`.
            regions: What `regions` returned, after the last frame or one shortly before.
            time: As in `update`.
            source: As in `update`.

        Returns:
            As `update` does, with boxes as the detector would have found them, and the scores of
            the last detections. Who is not clearly there is left out.

        Raises:
            ConfigError: The time is not a number, or goes back.
        """
        source = result["input_path"] if source is None else source
        if result.error is not None:
            self.trouble = True
            return TrackedResult(result, None, (), time, source)
        self._advance(time)
        people = result.arrays
        poses = people.keypoints.astype(np.float64)
        by_key = {track.key: track for track in self._tracks if not track.lost}
        keys = regions.keys_of(people.boxes)
        rows = {row: by_key[key] for row, key in enumerate(keys) if key in by_key}
        in_crowd = crowded(self._tracks)
        clear, self.trouble = judge(rows, poses, sigmas_of(people.schema))
        followed = [rows[row] for row in clear]
        for row, track in zip(clear, followed, strict=True):
            track.follow(poses[row], time, doubted=track in in_crowd)
        coasting = [by_key[key] for key in regions.coasting if key in by_key]
        for track in coasting:
            track.coast(time)
        followed = sorted([*followed, *coasting], key=lambda track: -track.score)
        size = size_of(result.held_image())
        for track in followed:
            if not track.at_border and reaches_border(track.region, size):
                track.at_border = self.trouble = True
        self._leave(time)
        joints = people.keypoints.shape[1:]
        keypoints = np.array([track.keypoints for track in followed], np.float32)
        keypoints = keypoints.reshape(-1, *joints)
        people = replace(
            people,
            boxes=np.array([track.region for track in followed], np.float32).reshape(-1, 4),
            det_scores=np.array([track.score for track in followed], np.float32),
            keypoints=keypoints,
            kpt_scores=keypoints[:, :, 2].mean(axis=1),
        )
        order = range(len(followed))
        return self._show(result, people, order, dict(enumerate(followed)), source)

    def _leave(self, time: float) -> bool:
        """Note who was not seen and forget who was not for long; tell whether somebody got lost."""
        newly = [track for track in self._tracks if track.seen != time and not track.lost]
        for track in newly:
            track.lost = True
        self._tracks = [
            track
            for track in self._tracks
            if not track.lost
            or (track.id is not None and time - track.seen <= self.settings.keep_s)
        ]
        if len(self._tracks) > _MOST_TRACKS:
            self._tracks.sort(key=lambda track: -track.seen)
            del self._tracks[_MOST_TRACKS:]
        return any(track.id is not None for track in newly)

    def _show(
        self,
        result: KeypointResult,
        people: PoseResponse,
        shown: Sequence[int],
        track_of: Mapping[int, Track],
        source: str | None,
    ) -> TrackedResult:
        """Make the result of the rows that are shown."""
        shown = list(shown)
        smoothed = people.keypoints[shown]
        for index, row in enumerate(shown):
            if row in track_of and self.settings.smooth:
                smoothed[index] = track_of[row].shown()
        tracks = [track_of.get(row) for row in shown]
        tracked = TrackedResult(
            result,
            replace(
                people,
                boxes=people.boxes[shown],
                det_scores=people.det_scores[shown],
                keypoints=smoothed,
                kpt_scores=people.kpt_scores[shown],
            ),
            [None if track is None else track.id for track in tracks],
            self._time or 0.0,
            source,
        )
        tracked.track_keys = [None if track is None else track.key for track in tracks]
        return tracked

    def _advance(self, time: float) -> None:
        """Go on to the time of the next frame; raise ConfigError."""
        if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
            raise ConfigError(f"time={time!r}: expected the frame's time in seconds")
        before = time if self._time is None else self._time
        if time < before:
            raise ConfigError(
                f"time={time!r} is before {before!r}, that of the last frame: frames come in "
                "order; make another Tracker for another video"
            )
        for track in self._tracks:
            track.motion.advance(time - before, lost=track.lost)
        self._time, self._step = time, time - before

    def _drop_other_models(self, joints: int, limbs: int) -> None:
        """Forget the poses of another keypoint model, which can't be compared."""
        self._tracks = [
            track
            for track in self._tracks
            if (len(track.keypoints), len(track.colors)) == (joints, limbs)
        ]

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def state(self) -> dict[str, Any]:
        """Return all it knows, in types that JSON knows: a few kilobytes per person."""
        return {
            "version": STATE_VERSION,
            "settings": asdict(self.settings),
            "next_id": self._next_id,
            "next_key": self._next_key,
            "time": self._time,
            "step": self._step,
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
            tracker._next_id = saved_count(state["next_id"])
            tracker._next_key = saved_count(state["next_key"])
            tracker._time = None if state["time"] is None else saved_number(state["time"])
            tracker._step = saved_number(state["step"])
            tracks = [Track.from_state(track, tracker.settings) for track in state["tracks"]]
            keys = [track.key for track in tracks]
            ids = [track.id for track in tracks if track.id is not None]
            if (
                len(tracks) > _MOST_TRACKS
                or len({len(track.keypoints) for track in tracks}) > 1
                or any(len(set(each)) < len(each) for each in (keys, ids))
                or max(keys, default=0) >= tracker._next_key
                or max(ids, default=0) >= tracker._next_id
            ):
                raise ValueError("its tracks don't fit together")
            tracker._tracks = tracks
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"state: it is damaged: {error!r}") from error
        return tracker
