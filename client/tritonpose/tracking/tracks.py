"""What is known of one person who is followed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.tracking.appearance import renewed
from tritonpose.tracking.association import LEAST_JOINTS, VISIBLE
from tritonpose.tracking.kalman import BoxMotion
from tritonpose.tracking.regions import box_around, margins_of
from tritonpose.tracking.saved import saved_array, saved_count, saved_number
from tritonpose.tracking.smoothing import SmoothedPose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tritonpose.tracking.settings import TrackingSettings

    Array = NDArray[np.float64]

# What share of the way from the joints' place to the box's center is gone each time.
_TO_CENTER = 0.1
# By how much joints scatter, in sizes of the person, where too few are shown in a crowd.
_DOUBT = 0.06
# There, joints that are farther from where they were on the body are taken for another's.
_OWN = 0.06


@dataclass(eq=False)
class Track:
    """One person, or what may become one.

    Attributes:
        key: Names the track, also before it has an `id`.
        motion: Of the person, up to the tracker's time.
        pose: Of the keypoints that are shown.
        keypoints: (K, 3), as they were last measured.
        offsets: (K, 3): where joints are from the person's place, and their scores, as they were
            last seen clearly.
        seen: That time, in seconds.
        id: The person's id; None until the person was seen twice.
        score: Of the last detection.
        margins: Of its box around the pose; see `margins_of`.
        clarity: Mean score of its joints.
        colors: (L, 4), of its limbs; see `limb_colors`.
        surprise: How far joints were from where they were expected when they were last measured, in
            sizes of the person: the distance that nine of ten keep.
        coasted: For how many frames in a row nobody looked for the person.
        cut: Whether the scene has changed since it was seen.
        at_border: Whether the person has reached the image's border.
        lost: Whether the person was not seen in the last frame.
    """

    key: int
    motion: BoxMotion
    pose: SmoothedPose
    keypoints: Array
    offsets: Array
    seen: float
    id: int | None
    score: float
    margins: Array
    clarity: float
    colors: Array
    surprise: float = math.inf
    coasted: int = 0
    cut: bool = False
    at_border: bool = False
    lost: bool = False

    @classmethod
    def begin(
        cls,
        key: int,
        box: Array,
        keypoints: Array,
        score: float,
        colors: Array,
        time: float,
        settings: TrackingSettings,
    ) -> Track:
        """Begin a track with a detection."""
        motion = BoxMotion(box)
        return cls(
            key,
            motion,
            SmoothedPose(settings),
            keypoints,
            keypoints - np.append(motion.center, 0),
            time,
            None,
            score,
            margins_of(box, keypoints),
            float(keypoints[:, 2].mean()),
            colors,
        )

    @property
    def expected(self) -> Array:
        """The keypoints, (K, 3), where the person's motion should have taken them."""
        return np.add(self.offsets, np.append(self.motion.center, 0))

    @property
    def region(self) -> Array:
        """The box, (4,), that a detector would have found in the last frame."""
        return box_around(self.keypoints, self.margins)

    def see(
        self,
        box: Array,
        keypoints: Array,
        score: float,
        colors: Array,
        time: float,
        *,
        doubted: bool,
    ) -> None:
        """Take in where a detector found the person; ``doubted`` if the box may be another's too.

        The joints tell the place, as boxes grow where people overlap.
        """
        self._move(box, keypoints, time, doubted=doubted)
        self.score, self.clarity = score, float(keypoints[:, 2].mean())
        if not doubted:
            self.margins = margins_of(box, keypoints)
            self.colors = renewed(self.colors, colors)

    def follow(self, keypoints: Array, time: float, *, doubted: bool) -> None:
        """Take in where the keypoints were found in the person's region."""
        self._move(box_around(keypoints, self.margins), keypoints, time, doubted=doubted)

    def coast(self, time: float) -> None:
        """Take it that the person is where expected."""
        self.keypoints, self.seen = self.expected, time

    def _move(self, box: Array, keypoints: Array, time: float, *, doubted: bool) -> None:
        both = (self.offsets[:, 2] >= VISIBLE) & (keypoints[:, 2] >= VISIBLE)
        self.surprise = math.inf
        if both.sum() >= LEAST_JOINTS and not self.lost:
            away = np.linalg.norm(keypoints[both, :2] - self.expected[both, :2], axis=1)
            self.surprise = float(np.quantile(away, 0.9)) / self.motion.size
        place = (box[:2] + box[2:]) / 2
        scatter = _DOUBT if doubted else 0.0
        if both.sum() >= LEAST_JOINTS:
            apart = keypoints[both, :2] - self.offsets[both, :2]
            moved = np.median(apart, axis=0)
            place = moved if doubted else moved + _TO_CENTER * (place - moved)
            scatter = float(np.median(np.linalg.norm(apart - moved, axis=1))) / self.motion.size
        self.motion.correct(place, scatter)
        if not doubted:
            self.motion.resize(box)
        offsets = keypoints - np.append(place, 0)
        away = np.linalg.norm((offsets - self.offsets)[:, :2], axis=1)
        own = (away < _OWN * self.motion.size) | (self.offsets[:, 2] < VISIBLE)
        fresh = (own & (keypoints[:, 2] >= VISIBLE)) | (not doubted)
        self.offsets = np.where(fresh[:, None], offsets, self.offsets)
        if self.lost:
            self.pose.reset()
        self.keypoints = keypoints
        self.seen, self.lost, self.cut = time, False, False

    def shown(self) -> Array:
        """Smooth the keypoints that were just measured; (K, 3)."""
        return self.pose.update(self.keypoints, self.motion.center, self.motion.size, self.seen)

    def state(self) -> dict[str, Any]:
        """Return the track in types that JSON knows."""
        return {
            "key": self.key,
            "motion": self.motion.state(),
            "pose": self.pose.state(),
            "keypoints": self.keypoints.tolist(),
            "offsets": self.offsets.tolist(),
            "seen": self.seen,
            "id": self.id,
            "score": self.score,
            "margins": self.margins.tolist(),
            "clarity": self.clarity,
            "colors": self.colors.tolist(),
            "surprise": None if math.isinf(self.surprise) else self.surprise,
            "coasted": self.coasted,
            "cut": self.cut,
            "at_border": self.at_border,
            "lost": self.lost,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], settings: TrackingSettings) -> Track:
        """Make the track of this state; KeyError, TypeError or ValueError if it is damaged."""
        keypoints = saved_array(state["keypoints"], -1, 3)
        return cls(
            saved_count(state["key"]),
            BoxMotion.from_state(state["motion"]),
            SmoothedPose.from_state(state["pose"], settings),
            keypoints,
            saved_array(state["offsets"], *keypoints.shape),
            saved_number(state["seen"]),
            None if state["id"] is None else saved_count(state["id"]),
            saved_number(state["score"]),
            saved_array(state["margins"], 4),
            saved_number(state["clarity"]),
            saved_array(state["colors"], -1, 4),
            math.inf if state["surprise"] is None else saved_number(state["surprise"]),
            int(saved_number(state["coasted"])),
            bool(state["cut"]),
            bool(state["at_border"]),
            bool(state["lost"]),
        )
