"""The ``boxes`` of a result as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class People:
    """The people of one image. N may be 0.

    Attributes:
        boxes: (N, 4) float32: x1, y1, x2, y2 in pixels of the image.
        det_scores: (N,) float32.
        points: (N, 17, 2) float32: x, y in pixels; COCO order.
        scores: (N, 17) float32, of the keypoints.
    """

    boxes: NDArray[np.float32]
    det_scores: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, boxes: Sequence[Mapping[str, Any]]) -> People:
        """Collects what the ``boxes`` of a result hold."""

        def collect(key: str, *shape: int) -> NDArray[np.float32]:
            values = np.array([person[key] for person in boxes], dtype=np.float32)
            return values.reshape(len(boxes), *shape)

        keypoints = collect("keypoints", 17, 3)
        return cls(
            collect("coordinate", 4), collect("det_score"), keypoints[..., :2], keypoints[..., 2]
        )
