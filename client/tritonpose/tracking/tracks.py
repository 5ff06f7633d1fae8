"""What is known of one person who is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.tracking.kalman import BoxMotion
from tritonpose.tracking.smoothing import CalmPose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tritonpose.tracking.settings import TrackingSettings

    Array = NDArray[np.float64]


@dataclass(eq=False)
class Track:
    """One person, or what may become one.

    Attributes:
        motion: Of the box, up to the tracker's time.
        pose: Of the keypoints that are shown.
        keypoints: (K, 3), as they were last measured.
        center: Of the filtered box at that time, x, y.
        seen: That time, in seconds.
        id: The person's number; None until the person was seen twice.
        score: Of the last detection.
        lost: Whether the person was not seen in the last frame.
    """

    motion: BoxMotion
    pose: CalmPose
    keypoints: Array
    center: Array
    seen: float
    id: int | None
    score: float
    lost: bool = False

    @classmethod
    def begin(
        cls, box: Array, keypoints: Array, score: float, time: float, settings: TrackingSettings
    ) -> Track:
        """Begin a track with a detection."""
        motion = BoxMotion(box)
        return cls(motion, CalmPose(settings), keypoints, motion.center, time, None, score)

    @property
    def expected(self) -> Array:
        """The keypoints, (K, 3), where the box's motion should have taken them."""
        moved = self.keypoints.copy()
        moved[:, :2] += self.motion.center - self.center
        return moved

    def see(self, box: Array, keypoints: Array, score: float, time: float) -> None:
        """Take in that the person is here now."""
        self.motion.correct(box)
        if self.lost:
            self.pose.reset()
        self.keypoints, self.center = keypoints, self.motion.center
        self.seen, self.score, self.lost = time, score, False

    def shown(self) -> Array:
        """Calm the keypoints that were just measured; (K, 3)."""
        return self.pose.update(self.keypoints, self.center, self.motion.size, self.seen)

    def state(self) -> dict[str, Any]:
        """Return the track in types that JSON knows."""
        return {
            "motion": self.motion.state(),
            "pose": self.pose.state(),
            "keypoints": self.keypoints.tolist(),
            "center": self.center.tolist(),
            "seen": self.seen,
            "id": self.id,
            "score": self.score,
            "lost": self.lost,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], settings: TrackingSettings) -> Track:
        """Make the track of this state."""
        return cls(
            BoxMotion.from_state(state["motion"]),
            CalmPose.from_state(state["pose"], settings),
            np.array(state["keypoints"], np.float64).reshape(-1, 3),
            np.array(state["center"], np.float64).reshape(2),
            float(state["seen"]),
            state["id"],
            float(state["score"]),
            bool(state["lost"]),
        )
