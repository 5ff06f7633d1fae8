"""FiftyOne's labels and skeleton."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tritonpose.drawing import VISIBLE_SCORE
from tritonpose.export.images import image_size

if TYPE_CHECKING:
    from tritonpose.result import KeypointResult
    from tritonpose_pipeline.keypoint_schema import KeypointSchema


def fiftyone_labels(result: KeypointResult, label: str = "person") -> dict[str, Any]:
    """Make what FiftyOne's ``from_dict`` reads: detections and keypoints of one image.

    ``fiftyone.Detections.from_dict(labels["detections"])`` and
    ``fiftyone.Keypoints.from_dict(labels["keypoints"])`` are fields of a ``fiftyone.Sample``.
    FiftyOne itself isn't needed here. The format:
    https://docs.voxel51.com/user_guide/using_datasets.html#keypoints.

    Args:
        result: The people in one image.
        label: Of each person.

    Returns:
        Places are fractions of the image's width and height. Keypoints that are not drawn (score
        below 0.1) are not-a-number, which is FiftyOne's word for missing ones.

    Raises:
        TritonPoseError: The result has an `error`.
    """
    width, height = image_size(result)
    people = result.arrays
    detections, keypoints = [], []
    for index, ((x1, y1, x2, y2), score, points) in enumerate(
        zip(
            people.boxes.tolist(),
            people.det_scores.tolist(),
            people.keypoints.tolist(),
            strict=True,
        )
    ):
        box = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
        known = {"label": label, "index": index}
        detections.append({"_cls": "Detection", **known, "bounding_box": box, "confidence": score})
        places = [
            [x / width, y / height] if certainty >= VISIBLE_SCORE else [math.nan, math.nan]
            for x, y, certainty in points
        ]
        scores = [certainty for _, _, certainty in points]
        keypoints.append({"_cls": "Keypoint", **known, "points": places, "confidence": scores})
    return {
        "detections": {"_cls": "Detections", "detections": detections},
        "keypoints": {"_cls": "Keypoints", "keypoints": keypoints},
    }


def fiftyone_skeleton(schema: KeypointSchema) -> dict[str, Any]:
    """Make the arguments of ``fiftyone.KeypointSkeleton``: names and limbs."""
    return {"labels": list(schema.names), "edges": [list(limb) for limb in schema.skeleton]}
