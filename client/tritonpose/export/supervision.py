"""supervision's key points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tritonpose.drawing import VISIBLE_SCORE
from tritonpose.extras import install_command

if TYPE_CHECKING:
    import supervision

    from tritonpose.transport.messages import PoseResponse


def supervision_keypoints(people: PoseResponse) -> supervision.KeyPoints:
    """Make supervision's ``KeyPoints``, one skeleton per person.

    Returns:
        ``xy`` (N, K, 2) float32; ``keypoint_confidence`` (N, K) float32;
        ``detection_confidence`` (N,) float32; ``visible`` (N, K), score 0.1 and up, as PaddleX
        draws them; ``class_id`` 0 and ``data["class_name"]`` "person";
        ``data["xyxy"]`` (N, 4) float32, the detector's boxes, which ``as_detections()`` would
        otherwise replace by narrower ones around the keypoints. N may be 0.

    Raises:
        ImportError: supervision isn't installed, or lacks one of its own dependencies.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError(
            f"to_supervision needs supervision ({error}): {install_command('supervision')}"
        ) from error

    scores = people.keypoints[..., 2]
    return supervision.KeyPoints(
        xy=people.keypoints[..., :2],
        class_id=np.zeros(len(people.boxes), dtype=int),
        keypoint_confidence=scores,
        detection_confidence=people.det_scores,
        visible=scores >= VISIBLE_SCORE,
        data={"class_name": np.full(len(people.boxes), "person"), "xyxy": people.boxes},
    )
