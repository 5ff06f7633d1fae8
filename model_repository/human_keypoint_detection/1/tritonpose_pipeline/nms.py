"""Non-maximum suppression with the semantics of Paddle's ``multiclass_nms3``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NmsSettings:
    """Settings of ``multiclass_nms3`` for one class (``nms_eta`` 1, normalised boxes).

    Attributes:
        score_threshold: Candidates need a score strictly above it.
        iou_threshold: A box is suppressed by a better one if their IoU is strictly above it.
        top_k: Candidates considered, best first; -1 for all.
        keep_top_k: Boxes kept, at least 1, best first; -1 for all.
    """

    score_threshold: float
    iou_threshold: float
    top_k: int = -1
    keep_top_k: int = -1


def nms(boxes: FloatArray, scores: FloatArray, settings: NmsSettings) -> npt.NDArray[np.intp]:
    """Suppress boxes that overlap a better one.

    Greedy and exact: the best remaining candidate is kept and suppresses every later one whose
    IoU with it is above the threshold. Equal scores keep the order in which they are given
    (Paddle sorts candidates stably).

    Args:
        boxes: ``[A, 4]`` float32, x1, y1, x2, y2 in any one unit.
        scores: ``[A]`` float32.
        settings: Thresholds and limits.

    Returns:
        Indices of the kept boxes, ``[K]``, by descending score.

    Source: PaddlePaddle operator ``multiclass_nms3`` (``NMSFast`` with ``nms_eta`` 1).
    """
    candidates = np.flatnonzero(scores > settings.score_threshold)
    order = candidates[np.argsort(-scores[candidates], kind="stable")]
    if settings.top_k > -1:
        order = order[: settings.top_k]
    x1, y1, x2, y2 = boxes[order].T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    alive = np.ones(order.size, dtype=bool)
    kept: list[int] = []
    for i in range(order.size):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == settings.keep_top_k:
            break
        rest = slice(i + 1, None)
        width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
        height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[i] + areas[rest] - overlap
        iou = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
        alive[rest] &= iou <= settings.iou_threshold
    return order[kept]
