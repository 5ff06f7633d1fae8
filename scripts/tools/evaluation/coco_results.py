"""The server's answers as COCO results."""

from __future__ import annotations

from typing import Any

import numpy as np

from tritonpose.export.coco import person_scores
from tritonpose.transport.messages import PoseResponse


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
