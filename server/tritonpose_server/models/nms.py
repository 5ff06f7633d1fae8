"""Settings of a detector's non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NmsSettings:
    """Settings of Paddle's ``multiclass_nms3`` for one class.

    Attributes:
        score_threshold: Candidates need a score strictly above it.
        iou_threshold: A box is suppressed by a better one if their IoU is strictly above it.
        top_k: Candidates considered, best first.
        keep_top_k: Boxes kept, best first.
    """

    score_threshold: float
    iou_threshold: float
    top_k: int
    keep_top_k: int
