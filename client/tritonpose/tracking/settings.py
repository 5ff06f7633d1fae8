"""What a tracker may be told: thresholds, and times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackingSettings:
    """Who counts as the same person, and for how long.

    Attributes:
        det_threshold: Lowest score of a detection that is shown and may begin a track.
        weak_threshold: Lowest score of one that may continue a track.
        new_threshold: Lowest score of one that begins a track.
        min_similarity: Lowest similarity, 0 to 1, of a detection and the track it continues.
        keep_s: For how long a person who is not seen keeps the id, in seconds.
    """

    det_threshold: float = 0.5
    weak_threshold: float = 0.1
    new_threshold: float = 0.6
    min_similarity: float = 0.2
    keep_s: float = 1.0
