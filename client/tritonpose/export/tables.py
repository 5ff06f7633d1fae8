"""Tables in long form: pandas' and CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.extras import install_command
from tritonpose.saving import as_text

if TYPE_CHECKING:
    import pandas

    from tritonpose.result import KeypointResult
    from tritonpose.transport.messages import PoseResponse

COLUMNS = (
    *("input_path", "page_index", "frame_index", "person", "keypoint", "x", "y", "score"),
    *("det_score", "x1", "y1", "x2", "y2"),
)


def keypoint_table(
    people: PoseResponse, input_path: str | None, page_index: int | None, frame_index: int | None
) -> pandas.DataFrame:
    """Make a table in long form: one row per person and keypoint, in the result's order.

    Returns:
        Columns ``input_path`` (string; missing for arrays), ``page_index`` and ``frame_index``
        (Int64; missing except for pages and video frames), ``person`` (int64, index in ``boxes``),
        ``keypoint`` (string, its name), ``x``, ``y``, ``score``, ``det_score``, ``x1``,
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
    table: pandas.DataFrame = pandas.DataFrame(
        {
            "input_path": pandas.array([shown] * rows, dtype="string"),
            "page_index": pandas.array([page_index] * rows, dtype="Int64"),
            "frame_index": pandas.array([frame_index] * rows, dtype="Int64"),
            "person": np.arange(count, dtype=np.int64).repeat(joints),
            "keypoint": pandas.array(people.schema.names * count, dtype="string"),
            "x": people.keypoints[..., 0].ravel(),
            "y": people.keypoints[..., 1].ravel(),
            "score": people.keypoints[..., 2].ravel(),
            **{name: values.repeat(joints) for name, values in per_person.items()},
        }
    )
    return table


def csv_text(result: KeypointResult, *, header: bool = True) -> str:
    """Write the rows of `keypoint_table` as CSV (RFC 4180), without pandas.

    Args:
        result: The people in one image.
        header: Begin with a line of the columns' names; False to go on with a file.

    Returns:
        Lines that end in CR and LF. Numbers are the shortest ones that give the same float32;
        what is missing is empty.
    """
    people = result.arrays
    path = result["input_path"]
    place = (
        "" if path is None else as_text(path),
        result.get("page_index"),
        result.get("frame_index"),
    )
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if header:
        writer.writerow(COLUMNS)
    for person, (keypoints, score, box) in enumerate(
        zip(people.keypoints, people.det_scores, people.boxes, strict=True)
    ):
        for name, point in zip(people.schema.names, keypoints, strict=True):
            numbers = (str(number) for number in (*point, score, *box))
            x, y, keypoint_score, *rest = numbers
            writer.writerow([*place, person, name, x, y, keypoint_score, *rest])
    return text.getvalue()
