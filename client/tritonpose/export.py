"""Results in the formats of other libraries: COCO's, supervision's and pandas'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.coco import COCO_KEYPOINT_NAMES, VISIBLE_SCORE
from tritonpose.extras import install_command
from tritonpose.saving import as_text

if TYPE_CHECKING:
    import pandas
    import supervision
    from numpy.typing import NDArray

    from tritonpose.transport.messages import PoseResponse

CONFIDENT_KEYPOINT = 0.2
"""Keypoints scored no higher don't count for a person's score."""


def coco_results(people: PoseResponse, image_id: int, category_id: int) -> list[dict[str, Any]]:
    """Make one COCO keypoint result per person, of plain numbers.

    The format: https://cocodataset.org/#format-results.

    pycocotools' ``loadRes`` takes each person's area from ``bbox``, if it is given; evaluation
    uses it only to leave unmatched people out of the scores for medium and large ones.

    Args:
        people: The arrays of a result.
        image_id: The image's id in the annotations.
        category_id: The id of "person", 1 in COCO.

    Returns:
        Dicts with ``image_id``; ``category_id``; ``keypoints``, 51 numbers x, y, v, where v is 1
        for keypoints that are drawn (score 0.1 and up) and 0 for others, whose x and y are guesses
        (evaluation doesn't look at v); ``score`` by `person_scores`; ``bbox``, the detector's x,
        y, width, height. All in pixels.
    """
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


def supervision_keypoints(people: PoseResponse) -> supervision.KeyPoints:
    """Make supervision's ``KeyPoints``, one skeleton per person.

    Returns:
        ``xy`` (N, 17, 2) float32; ``keypoint_confidence`` (N, 17) float32;
        ``detection_confidence`` (N,) float32; ``visible`` (N, 17), score 0.1 and up, as PaddleX
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


def keypoint_table(
    people: PoseResponse, input_path: str | None, page_index: int | None, frame_index: int | None
) -> pandas.DataFrame:
    """Make a table in long form: one row per person and keypoint, in the result's order.

    Returns:
        Columns ``input_path`` (string; missing for arrays), ``page_index`` and ``frame_index``
        (Int64; missing except for pages and video frames), ``person`` (int64, index in ``boxes``),
        ``keypoint`` (string, COCO's name), ``x``, ``y``, ``score``, ``det_score``, ``x1``,
        ``y1``, ``x2``, ``y2`` (float32; pixels of the image). Columns and dtypes don't depend on
        the content, so that tables of many results can be concatenated.

    Raises:
        ImportError: pandas isn't installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"to_dataframe needs pandas ({error}): {install_command('dataframe')}"
        ) from error

    count, joints, _ = people.keypoints.shape
    rows = count * joints
    shown = None if input_path is None else as_text(input_path)
    per_person = {"det_score": people.det_scores}
    per_person |= dict(zip(("x1", "y1", "x2", "y2"), people.boxes.T, strict=True))
    return pandas.DataFrame(
        {
            "input_path": pandas.array([shown] * rows, dtype="string"),
            "page_index": pandas.array([page_index] * rows, dtype="Int64"),
            "frame_index": pandas.array([frame_index] * rows, dtype="Int64"),
            "person": np.arange(count, dtype=np.int64).repeat(joints),
            "keypoint": pandas.array(COCO_KEYPOINT_NAMES * count, dtype="string"),
            "x": people.keypoints[..., 0].ravel(),
            "y": people.keypoints[..., 1].ravel(),
            "score": people.keypoints[..., 2].ravel(),
            **{name: values.repeat(joints) for name, values in per_person.items()},
        }
    )
