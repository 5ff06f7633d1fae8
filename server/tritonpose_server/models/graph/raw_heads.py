"""The outputs of detectors that were exported without non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose_server.models.errors import ConversionError

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, ...]

# Candidates looked at to tell what the numbers mean.
_BEST = 20


@dataclass(frozen=True)
class RawHeads:
    """Which outputs, by index, are boxes and scores.

    Boxes are ``[n, A, 4]``. Scores are ``[n, C, A]``, or ``[n, A, C]`` if ``anchors_first``. Where
    both are one output ``[n, A, 4 + C]``, the indices are the same.
    """

    boxes: int
    scores: int
    anchors_first: bool

    @property
    def together(self) -> bool:
        """Whether boxes and scores are columns of one output."""
        return self.boxes == self.scores

    def read(self, outputs: Sequence[npt.NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
        """Return the boxes ``[A, 4]`` and scores ``[C, A]`` of the first image."""
        boxes, scores = outputs[self.boxes][0], outputs[self.scores][0]
        if self.together:
            boxes, scores = boxes[:, :4], scores[:, 4:]
        return boxes, scores.T if self.anchors_first else scores


def find_raw_heads(shapes: Sequence[Shape], class_count: int | None) -> RawHeads:
    """Tell boxes and scores by the outputs' shapes, or raise `ConversionError`.

    Outputs that are no numbers with fractions have the shape ``()``. ``class_count`` is None where
    it is not known.
    """
    found = [
        heads
        for heads in _possible(shapes)
        if class_count is None or _class_count(heads, shapes) == class_count
    ]
    if len(found) != 1:
        counted = "C classes" if class_count is None else f"the {class_count} classes of label_list"
        why = "are ambiguous" if found else "are not such"
        raise ConversionError(
            "expected a detector with one NonMaxSuppression node, or one without it whose outputs "
            f"are boxes [batch, A, 4] and scores [batch, C, A] of {counted} (or both together as "
            f"[batch, A, 4 + C]); its outputs of shapes {', '.join(str(list(s)) for s in shapes)} "
            f"{why}. Export it with its NMS (PaddleDetection's default)"
        )
    return found[0]


def require_meaning(boxes: FloatArray, scores: FloatArray) -> None:
    """Raise `ConversionError` unless numbers can be boxes in pixels and scores.

    ``boxes`` ``[A, 4]`` and ``scores`` ``[C, A]`` are of an image on which something was found.
    """
    if not (float(scores.min()) > -1e-3 and float(scores.max()) < 1 + 1e-3):
        raise ConversionError(
            f"the detector's scores are from {scores.min():.3g} to {scores.max():.3g}, not from 0 "
            "to 1: export it with the sigmoid after them, as PaddleDetection does"
        )
    best = boxes[np.argsort(-scores.max(axis=0))[:_BEST]]
    ordered = np.mean((best[:, 2] > best[:, 0]) & (best[:, 3] > best[:, 1]))
    if ordered < 0.9 or float(np.abs(best).max()) <= 2:
        first = ", ".join(f"{side:.4g}" for side in best[0])
        raise ConversionError(
            "the detector's boxes are not x1, y1, x2, y2 in pixels of its input, as "
            f"PaddleDetection writes them (the best one is {first}): export it so, or with its NMS"
        )


def _possible(shapes: Sequence[Shape]) -> list[RawHeads]:
    tables = [(index, shape) for index, shape in enumerate(shapes) if len(shape) == 3]
    found = []
    for box_index, box_shape in tables:
        if box_shape[2] > 4 and len(tables) == 1 and box_shape[1] > box_shape[2]:
            found.append(RawHeads(box_index, box_index, anchors_first=True))
        if box_shape[2] != 4:
            continue
        for index, shape in tables:
            if index == box_index:
                continue
            if shape[2] == box_shape[1] and shape[1] != shape[2]:
                found.append(RawHeads(box_index, index, anchors_first=False))
            elif shape[1] == box_shape[1] and shape[2] != shape[1]:
                found.append(RawHeads(box_index, index, anchors_first=True))
    return found


def _class_count(heads: RawHeads, shapes: Sequence[Shape]) -> int:
    if heads.together:
        return shapes[heads.scores][2] - 4
    return shapes[heads.scores][2 if heads.anchors_first else 1]
