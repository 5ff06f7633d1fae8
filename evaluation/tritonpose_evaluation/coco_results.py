"""The server's answers as COCO results."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose.transport.messages import PoseResponse

CONFIDENT_KEYPOINT = 0.2
"""Keypoints below don't count for a person's score."""


def keypoint_results(image: int, category: int, people: PoseResponse) -> list[dict[str, Any]]:
    """The persons of an image, for COCO's keypoint evaluation.

    Args:
        image: The image's COCO id.
        category: COCO id of the category "person".
        people: The server's answer.
    """
    scores = person_scores(people.keypoints[..., 2], people.det_scores)
    return [
        {
            "image_id": image,
            "category_id": category,
            "keypoints": keypoints.reshape(-1).tolist(),
            "score": float(score),
        }
        for keypoints, score in zip(people.keypoints, scores, strict=True)
    ]


def box_results(image: int, category: int, people: PoseResponse) -> list[dict[str, Any]]:
    """The boxes of an image's persons, for COCO's detection evaluation; see `keypoint_results`."""
    corners = people.boxes.astype(np.float64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    return [
        {
            "image_id": image,
            "category_id": category,
            "bbox": box.tolist(),
            "score": float(score),
        }
        for box, score in zip(boxes, people.det_scores, strict=True)
    ]


def person_scores(
    keypoint_scores: npt.NDArray[np.float32], box_scores: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """By what COCO's evaluation ranks persons: box score times the confident keypoints' mean.

    So do PaddleDetection (``ppdet/metrics/keypoint_metrics.py``, ``in_vis_thre=0.2``) and
    MMPose (``mmpose/evaluation/metrics/coco_metric.py``, score mode ``bbox_keypoint``). Unlike
    them we drop no similar poses before (OKS NMS): the server doesn't either.

    Args:
        keypoint_scores: float32 ``[N, K]``.
        box_scores: float32 ``[N]``.

    Returns:
        float64 ``[N]``; 0 for a person without a confident keypoint.
    """
    scores = keypoint_scores.astype(np.float64)
    confident = keypoint_scores > CONFIDENT_KEYPOINT
    count = np.maximum(confident.sum(axis=1), 1)
    means: npt.NDArray[np.float64] = (scores * confident).sum(axis=1) / count
    return box_scores * means
