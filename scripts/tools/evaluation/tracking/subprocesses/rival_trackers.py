"""Other trackers, and trackeval's scores; runs inside their environment.

Served by ``tools.benchmark.subprocesses.line_server``.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import supervision
from trackers import (  # type: ignore[import-not-found]
    BoTSORTTracker,
    ByteTrackTracker,
    OCSORTTracker,
)
from trackeval.metrics import CLEAR, HOTA, Identity  # type: ignore[import-not-found]

_TRACKERS = {"ByteTrack": ByteTrackTracker, "OC-SORT": OCSORTTracker, "BoT-SORT": BoTSORTTracker}
_SEES_FRAMES = "BoT-SORT"
_QUIET = {"PRINT_CONFIG": False}


class Rivals:
    """The trackers, each with its defaults, for one clip after the other."""

    def facts(self) -> dict[str, str]:
        """Report the versions of the libraries."""
        return {package: version(package) for package in ("trackers", "trackeval", "supervision")}

    def track(self, people: list[dict[str, Any]], rate: float, frames: str) -> dict[str, Any]:
        """Give ids to the people of each frame, in their order, -1 for none.

        Args:
            people: Of each frame its ``time``, ``boxes`` and ``scores``.
            rate: Frames per second.
            frames: A ``.npy`` file of all frames.
        """
        images = np.load(frames, mmap_mode="r")
        ids: dict[str, list[list[int]]] = {}
        for name, kind in _TRACKERS.items():
            tracker = kind(frame_rate=rate)
            ids[name] = []
            for one, image in zip(people, images, strict=True):
                count = len(one["scores"])
                detections = supervision.Detections(
                    np.array(one["boxes"], float).reshape(count, 4),
                    confidence=np.array(one["scores"], float),
                    class_id=np.zeros(count, int),
                    data={"order": np.arange(count)},
                )
                shown = {"frame": np.array(image)} if name == _SEES_FRAMES else {}
                found = tracker.update(detections, timestamp=one["time"], **shown)
                given = np.full(count, -1)
                if len(found):
                    given[found.data["order"]] = found.tracker_id
                ids[name].append(given.tolist())
        return ids

    def score(self, truth: list[list[int]], answers: dict[str, Any]) -> dict[str, Any]:
        """Return HOTA, IDF1 and id switches of each answer.

        Args:
            truth: The ids of the true people of each frame.
            answers: By name, of each frame the ``ids`` of who was found, and the ``similarities``
                of each of the true people with each of them.
        """
        scores = {}
        for name, frames in answers.items():
            data = _comparison(truth, frames)
            scores[name] = {
                "HOTA": float(HOTA().eval_sequence(data)["HOTA"].mean()),
                "IDF1": float(Identity(_QUIET).eval_sequence(data)["IDF1"]),
                "switches": int(CLEAR(_QUIET).eval_sequence(data)["IDSW"]),
            }
        return scores


def _comparison(truth: list[list[int]], frames: list[dict[str, Any]]) -> dict[str, Any]:
    """Make what trackeval's metrics take."""
    true_ids, ids = _numbered(truth), _numbered([one["ids"] for one in frames])
    return {
        "gt_ids": true_ids,
        "tracker_ids": ids,
        "similarity_scores": [
            np.array(one["similarities"], float).reshape(len(true), len(found))
            for one, true, found in zip(frames, true_ids, ids, strict=True)
        ],
        "num_timesteps": len(truth),
        "num_gt_ids": len({one for frame in truth for one in frame}),
        "num_tracker_ids": len({one for frame in frames for one in frame["ids"]}),
        "num_gt_dets": sum(map(len, true_ids)),
        "num_tracker_dets": sum(map(len, ids)),
    }


def _numbered(frames: list[list[int]]) -> list[Any]:
    """Replace ids by numbers from 0."""
    numbers = {one: number for number, one in enumerate(sorted({i for ids in frames for i in ids}))}
    return [np.array([numbers[one] for one in ids], int) for ids in frames]


def open_worker() -> Rivals:
    """Make the rivals."""
    return Rivals()
