"""What the pipeline finds in a clip, and what trackers make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.benchmark.worker import Worker
from tools.evaluation.tracking.clips import Clip, TruePerson
from tools.evaluation.tracking.metrics import Seen, similarities
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.result import KeypointResult
from tritonpose.tracking import Tracker, TrackingSettings
from tritonpose.transport.messages import PoseResponse

OURS = "tritonpose"


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip with the people who were found in each frame, weak detections among them.

    `frames` is a ``.npy`` file of all frames.
    """

    clip: Clip
    frames: Path
    truth: Sequence[Sequence[TruePerson]]
    found: Sequence[PoseResponse]

    @property
    def true_people(self) -> list[Seen]:
        """The true people of each frame, of whom enough is seen."""
        return [
            Seen(
                np.array([one.identity for one in people], np.int64),
                np.array([one.box for one in people]).reshape(-1, 4),
                np.array([one.keypoints for one in people]).reshape(len(people), -1, 3),
            )
            for people in self.truth
        ]


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
    for time, people in zip(recording.clip.times, recording.found, strict=True):
        result = tracker.update(KeypointResult(boxes=people), time)
        known = [row for row, one in enumerate(result.track_ids) if one is not None]
        ids = np.array([result.track_ids[row] for row in known], np.int64)
        arrays = result.arrays
        shown.append(
            Seen(ids, arrays.boxes[known].astype(float), arrays.keypoints[known].astype(float))
        )
    return shown


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
        name: [
            _known(np.array(ids, np.int64), each)
            for ids, each in zip(frames, recording.found, strict=True)
        ]
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


def _known(ids: npt.NDArray[np.int64], people: PoseResponse) -> Seen:
    known = ids >= 0
    return Seen(
        ids[known], people.boxes[known].astype(float), people.keypoints[known].astype(float)
    )
