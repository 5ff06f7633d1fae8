"""What the pipeline finds in a clip, and what trackers make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark.worker import Worker
from tools.evaluation.tracking.clips import Clip, TruePerson
from tools.evaluation.tracking.metrics import Seen, pose_similarities, similarities
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.result import KeypointResult
from tritonpose.tracking import Tracker, TrackingSettings
from tritonpose.transport.messages import PoseResponse

OURS = "tritonpose"
# Of people of whom less is seen, it's not asked who they are.
_HALF = 0.5
# A pose is of two people where it is like both, and not much more like one of them (OKS).
_LIKE, _MUCH = 0.5, 0.15
_NOBODY = -1


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip with the people who were found in each frame, weak detections among them.

    `frames` is a ``.npy`` file of all frames.
    """

    clip: Clip
    frames: Path
    truth: Sequence[Sequence[TruePerson]]
    found: Sequence[PoseResponse]

    @cached_property
    def true_people(self) -> list[Seen]:
        """The true people of each frame, half of whom is seen."""
        return [_seen([one for one in people if one.seen >= _HALF]) for people in self.truth]

    def without_doubtful(self, shown: Sequence[Seen]) -> list[Seen]:
        """Leave out poses of people of whom less is seen, and of two people at once.

        Whose id they have is no mistake.
        """
        kept = []
        for people, found in zip(self.truth, shown, strict=True):
            alike = pose_similarities(_seen(people), found)
            hidden = np.array([one.seen < _HALF for one in people], bool)
            likest = alike.max(axis=0, initial=0.0)
            doubtful = (alike[hidden].max(axis=0, initial=0.0) == likest) & (likest > 0)
            if len(people) > 1:
                second = np.sort(alike, axis=0)[-2]
                doubtful |= (second >= _LIKE) & (likest - second < _MUCH)
            kept.append(found.rows(~doubtful))
        return kept


def _seen(people: Sequence[TruePerson]) -> Seen:
    return Seen(
        np.array([one.identity for one in people], np.int64),
        np.array([one.box for one in people]).reshape(-1, 4),
        np.array([one.keypoints for one in people]) if people else np.zeros((0, 17, 3)),
    )


def record(pipeline: HumanKeypointPipeline, clip: Clip, directory: Path) -> Recording:
    """Draw a clip and find the people in all of its frames."""
    images, truth = zip(*clip.frames(), strict=True)
    frames = directory / f"{clip.name}.npy"
    np.save(frames, np.array(images))
    results = pipeline.predict(list(images), det_threshold=TrackingSettings().weak_threshold)
    return Recording(clip, frames, truth, [result.arrays for result in results])


def track(recording: Recording, *, smooth: bool) -> list[Seen]:
    """Let our tracker follow the people who were found."""
    tracker = Tracker(replace(TrackingSettings(), smooth=smooth))
    shown = []
    frames = np.load(recording.frames, mmap_mode="r")
    for time, frame, people in zip(recording.clip.times, frames, recording.found, strict=True):
        result = tracker.update(KeypointResult(None, frame, people), time)
        ids = [_NOBODY if one is None else one for one in result.track_ids]
        shown.append(_known(ids, result.arrays))
    return recording.without_doubtful(shown)


def track_by_rivals(worker: Worker, recording: Recording) -> dict[str, list[Seen]]:
    """Let the other trackers follow the same people."""
    people = [
        {"time": time, "boxes": each.boxes.tolist(), "scores": each.det_scores.tolist()}
        for time, each in zip(recording.clip.times, recording.found, strict=True)
    ]
    given = worker.call(
        "track", people=people, rate=recording.clip.rate, frames=str(recording.frames)
    )
    return {
        name: recording.without_doubtful(
            [_known(ids, each) for ids, each in zip(frames, recording.found, strict=True)]
        )
        for name, frames in given.items()
    }


def scores_by_trackeval(
    worker: Worker, truth: Sequence[Seen], answers: dict[str, list[Seen]]
) -> dict[str, dict[str, Any]]:
    """Score the ids of several trackers; see `rival_trackers`."""
    scores: dict[str, dict[str, Any]] = worker.call(
        "score",
        truth=[one.ids.tolist() for one in truth],
        answers={
            name: [
                {"ids": found.ids.tolist(), "similarities": similarities(true, found).tolist()}
                for true, found in zip(truth, shown, strict=True)
            ]
            for name, shown in answers.items()
        },
    )
    return scores


def _known(ids: Sequence[int], people: PoseResponse) -> Seen:
    numbers = np.array(ids, np.int64)
    boxes, keypoints = people.boxes.astype(float), people.keypoints.astype(float)
    return Seen(numbers, boxes, keypoints).rows(numbers != _NOBODY)
