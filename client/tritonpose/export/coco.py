"""Results in COCO's results format, https://cocodataset.org/#format-results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.coco import VISIBLE_SCORE
from tritonpose.export.people import People

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENT_KEYPOINT = 0.2
"""Keypoints scored no higher don't count for a person's score."""


def coco_results(
    boxes: Sequence[Mapping[str, Any]], image_id: int, category_id: int
) -> list[dict[str, Any]]:
    """Makes one COCO keypoint result per person, of plain numbers.

    pycocotools' ``loadRes`` takes the persons' areas from ``bbox``, where it is there; evaluation
    uses them only to leave unmatched persons out of the scores for medium and large ones.

    Args:
        boxes: The people of a result.
        image_id: The image's id in the annotations.
        category_id: The id of "person", 1 in COCO.

    Returns:
        Dicts with ``image_id``; ``category_id``; ``keypoints``, 51 numbers x, y, v, where v is 1
        for keypoints that are drawn (score 0.1 and up) and 0 for others, whose x and y are guesses
        (evaluation doesn't look at v); ``score`` by `person_scores`; ``bbox``, the detector's x,
        y, width, height. All in pixels.
    """
    people = People.of(boxes)
    visible = (people.scores >= VISIBLE_SCORE).astype(int)
    scores = person_scores(people.scores, people.det_scores)
    return [
        {
            "image_id": image_id,
            "category_id": category_id,
            "keypoints": [
                value for (x, y), v in zip(points, flags, strict=True) for value in (x, y, v)
            ],
            "score": score,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
        }
        for points, flags, score, (x1, y1, x2, y2) in zip(
            people.points.tolist(),
            visible.tolist(),
            scores.tolist(),
            people.boxes.tolist(),
            strict=True,
        )
    ]


def person_scores(
    keypoint_scores: NDArray[np.float32], det_scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """By what COCO's evaluation ranks persons: box score times the confident keypoints' mean.

    So do PaddleDetection (``ppdet/metrics/keypoint_metrics.py``, ``in_vis_thre=0.2``) and
    MMPose (``mmpose/evaluation/metrics/coco_metric.py``, score mode ``bbox_keypoint``). Unlike
    them we drop no similar poses before (OKS NMS): the server doesn't either.

    Args:
        keypoint_scores: (N, K) float32.
        det_scores: (N,) float32.

    Returns:
        (N,) float64; 0 for a person without a confident keypoint.
    """
    scores = keypoint_scores.astype(np.float64)
    confident = keypoint_scores > CONFIDENT_KEYPOINT
    count = np.maximum(confident.sum(axis=1), 1)
    means: NDArray[np.float64] = (scores * confident).sum(axis=1) / count
    return det_scores * means
