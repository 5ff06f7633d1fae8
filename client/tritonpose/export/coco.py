"""COCO's keypoint results and categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.drawing import VISIBLE_SCORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.transport.messages import PoseResponse
    from tritonpose_pipeline.keypoint_schema import KeypointSchema

CONFIDENT_KEYPOINT = 0.2
"""Keypoints scored no higher don't count for a person's score."""


def coco_results(
    people: PoseResponse, image_id: int | np.integer[Any], category_id: int | np.integer[Any]
) -> list[dict[str, Any]]:
    """Make one COCO keypoint result per person, of plain numbers.

    The format: https://cocodataset.org/#format-results.

    pycocotools' ``loadRes`` takes each person's area from ``bbox``, if it is given; evaluation
    uses it only to leave unmatched people out of the scores for medium and large ones.

    Args:
        people: The arrays of a result.
        image_id: The image's id in the annotations.
        category_id: The id of "person", 1 in COCO.

    Returns:
        Dicts with ``image_id``; ``category_id``; ``keypoints``, x, y, v of each keypoint, where v
        is 1 for drawn ones (score 0.1 and up) and 0 for others, whose x and y are guesses
        (evaluation doesn't look at v); ``score`` by `person_scores`; ``bbox``, the detector's x,
        y, width, height. All in pixels.
    """
    image_id, category_id = (
        each.item() if isinstance(each, np.generic) else each for each in (image_id, category_id)
    )
    visible = (people.keypoints[..., 2] >= VISIBLE_SCORE).astype(int)
    scores = person_scores(people.keypoints[..., 2], people.det_scores)
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
            people.keypoints[..., :2].tolist(),
            visible.tolist(),
            scores.tolist(),
            people.boxes.tolist(),
            strict=True,
        )
    ]


def coco_annotations(people: PoseResponse, image_id: int, category_id: int) -> list[dict[str, Any]]:
    """Make one annotation of a COCO data set per person, but for its id: see `coco_results`."""
    return [
        {
            **result,
            "num_keypoints": sum(flag > 0 for flag in result["keypoints"][2::3]),
            "area": result["bbox"][2] * result["bbox"][3],
            "iscrowd": 0,
        }
        for result in coco_results(people, image_id, category_id)
    ]


def person_scores(
    keypoint_scores: NDArray[np.float32], det_scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Score people as COCO's evaluation ranks them: box score times confident keypoints' mean.

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


def coco_category(schema: KeypointSchema, category_id: int = 1) -> dict[str, Any]:
    """Make the category that COCO's annotations of such keypoints belong to.

    Returns:
        A dict with ``id``; ``name`` and ``supercategory``, "person"; ``keypoints``, the names;
        ``skeleton``, pairs of their places, which COCO counts from 1.
    """
    return {
        "id": category_id,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(schema.names),
        "skeleton": [[first + 1, second + 1] for first, second in schema.skeleton],
    }
