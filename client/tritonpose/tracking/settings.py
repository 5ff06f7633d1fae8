"""What a tracker may be told: scores, similarities, and times in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from tritonpose.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """Who counts as the same person, for how long, and how smooth the keypoints are.

    Speeds are in sizes of the person per second, where a size is the root of the area of the box.

    Attributes:
        det_threshold: Score that a detection must exceed to be shown if it continues no track.
        weak_threshold: Lowest score of a detection that may continue a track. The server is asked
            for all from here up, and estimates the keypoints of each.
        new_threshold: Lowest score of a detection that begins a track.
        min_similarity: Lowest similarity, 0 to 1, of a detection and the track that it continues:
            of the boxes (IoU) or of the keypoints (OKS).
        keep_s: For how long a person who is not seen keeps the id, in seconds.
        smooth: Whether keypoints are smoothed, by the One-Euro filter.
        min_cutoff_hz: Of that filter, for joints at rest: lower is smoother.
        cutoff_per_speed: What is added to it for each unit of speed above 0.3: higher lags less.
        speed_cutoff_hz: Of the filter of the speed.
        frozen_score: Joints with this score or a lower one stay where they are.
        trusted_score: Joints with this score or a higher one move as measured.

    Raises:
        ConfigError: One of them is no such number.
    """

    det_threshold: float = 0.5
    weak_threshold: float = 0.3
    new_threshold: float = 0.6
    min_similarity: float = 0.2
    keep_s: float = 1.0
    smooth: bool = True
    min_cutoff_hz: float = 0.5
    cutoff_per_speed: float = 20.0
    speed_cutoff_hz: float = 1.0
    frozen_score: float = 0.2
    trusted_score: float = 0.3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "smooth":
                if not isinstance(value, bool):
                    raise ConfigError(f"smooth={value!r}: expected True or False")
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"{field.name}={value!r}: expected a number")
            is_share = not field.name.endswith(("_s", "_hz", "_speed"))
            if not (0 <= value <= (1 if is_share else math.inf)) or value == math.inf:
                expected = "a number from 0 to 1" if is_share else "a number, 0 or more"
                raise ConfigError(f"{field.name}={value!r}: expected {expected}")
        if self.frozen_score >= self.trusted_score:
            raise ConfigError(
                f"frozen_score={self.frozen_score!r}: expected less than trusted_score, "
                f"{self.trusted_score!r}"
            )

    def with_threshold(self, threshold: float) -> TrackingSettings:
        """Fit the three scores to the lowest score of people who are shown, 0 to 1."""
        usual = TrackingSettings()
        return replace(
            self,
            det_threshold=threshold,
            weak_threshold=min(usual.weak_threshold, threshold),
            new_threshold=min(threshold + usual.new_threshold - usual.det_threshold, 1.0),
        )
