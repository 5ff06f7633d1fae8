"""Results as pandas tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tritonpose.coco import COCO_KEYPOINT_NAMES
from tritonpose.extras import install_command

if TYPE_CHECKING:
    import pandas

    from tritonpose.transport.messages import PoseResponse


def keypoint_table(
    people: PoseResponse, input_path: str | None, page_index: int | None, frame_index: int | None
) -> pandas.DataFrame:
    """Make a table in long form: one row per person and keypoint, in the result's order.

    Args:
        people: The arrays of a result.
        input_path: Of the result.
        page_index: Of the result.
        frame_index: Of the result.

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
    per_person = {"det_score": people.det_scores}
    per_person |= dict(zip(("x1", "y1", "x2", "y2"), people.boxes.T, strict=True))
    return pandas.DataFrame(
        {
            "input_path": pandas.array([input_path] * rows, dtype="string"),
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
