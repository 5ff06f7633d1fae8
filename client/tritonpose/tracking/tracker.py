"""Tell from frame to frame who is who."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.tracking.result import TrackedResult
from tritonpose.tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.result import KeypointResult


@dataclass(eq=False)
class _Track:
    box: NDArray[np.float64]
    seen: float
    id: int | None


class Tracker:
    """The people of one source, from frame to frame. For one thread at a time.

    Args:
        settings: Who counts as the same person.
    """

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self.settings = TrackingSettings() if settings is None else settings
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._started = False

    def update(
        self, result: KeypointResult, time: float, source: str | None = None
    ) -> TrackedResult:
        """Give the people of the next frame their numbers.

        Args:
            result: What the pipeline found in it, with scores from ``weak_threshold`` of the
                settings up.
            time: Of the frame, in seconds.
            source: The name of the source; by default the result's ``input_path``.
        """
        source = result["input_path"] if source is None else source
        if result.error is not None:
            return TrackedResult(result, None, (), time, source)
        people = result.arrays
        self._tracks = [t for t in self._tracks if time - t.seen <= self.settings.keep_s]
        ids: list[int | None] = []
        kept: list[int] = []
        free = list(self._tracks)
        for row in range(len(people.boxes)):
            box = people.boxes[row].astype(np.float64)
            score = float(people.det_scores[row])
            best = max(free, key=lambda track: _iou(track.box, box), default=None)
            if best is not None and _iou(best.box, box) >= self.settings.min_similarity:
                free.remove(best)
                if best.id is None:
                    best.id, self._next_id = self._next_id, self._next_id + 1
                best.box, best.seen = box, time
            elif score >= self.settings.new_threshold:
                best = _Track(box, time, None)
                if not self._started:
                    best.id, self._next_id = self._next_id, self._next_id + 1
                self._tracks.append(best)
            elif score < self.settings.det_threshold:
                continue
            else:
                best = None
            kept.append(row)
            ids.append(None if best is None else best.id)
        self._started = True
        shown = replace(
            people,
            boxes=people.boxes[kept],
            det_scores=people.det_scores[kept],
            keypoints=people.keypoints[kept],
            kpt_scores=people.kpt_scores[kept],
        )
        return TrackedResult(result, shown, ids, time, source)

    def state(self) -> dict[str, Any]:
        """Return all it knows, in types that JSON knows."""
        return {
            "settings": asdict(self.settings),
            "next_id": self._next_id,
            "started": self._started,
            "tracks": [
                {"box": track.box.tolist(), "seen": track.seen, "id": track.id}
                for track in self._tracks
            ],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Tracker:
        """Make the tracker that goes on where the one of this `state` was."""
        tracker = cls(TrackingSettings(**state["settings"]))
        tracker._next_id = state["next_id"]
        tracker._started = state["started"]
        tracker._tracks = [
            _Track(np.array(track["box"]), track["seen"], track["id"]) for track in state["tracks"]
        ]
        return tracker


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return shared / max(areas - shared, 1e-9)
