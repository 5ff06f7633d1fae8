"""Rows, parts and the COCO file made of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from tritonpose import KeypointResult, ServerError
from tritonpose.inputs import size_of
from tritonpose.transport.messages import PoseResponse
from tritonpose_batch.coco import write_coco
from tritonpose_batch.results import (
    SCHEMA,
    Counts,
    finished_counts,
    row_of,
    writing_part,
)
from tritonpose_pipeline.keypoint_schema import KeypointSchema

PERSON = {
    "coordinate": [np.float32(value) for value in (1.5, 2, 11.5, 42)],
    "det_score": 0.5,
    "keypoints": np.arange(51, dtype=np.float32).reshape(17, 3) / 51,
    "kpt_score": np.float32(0.25),
}
FRAME = np.zeros((48, 64, 3), np.uint8)


def result(persons: int, **further: object) -> KeypointResult:
    return KeypointResult("a.jpg", FRAME, [PERSON] * persons, **further)  # type: ignore[arg-type]


def test_rows_keep_all_numbers(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    with writing_part(path) as part:
        part.add(row_of(3, "a.jpg", result(2, frame_index=7, truncated=True)))
        part.add(row_of(4, "b.jpg", result(0, page_index=1)))
        part.add(row_of(5, "c.jpg", KeypointResult("c.jpg", error=ServerError("broken"))))
        assert not path.exists()
    assert finished_counts(path) == Counts(images=2, persons=2, errors=1)
    table = parquet.read_table(path)
    assert table.schema.equals(SCHEMA)
    two, none, failed = table.to_pylist()
    np.testing.assert_array_equal(two["boxes"], [PERSON["coordinate"]] * 2)
    np.testing.assert_array_equal(np.array(two["keypoints"], np.float32), [PERSON["keypoints"]] * 2)
    assert (two["det_scores"], two["kpt_scores"]) == ([0.5, 0.5], [0.25, 0.25])
    assert (two["item"], two["path"], two["frame_index"], two["page_index"]) == (
        3,
        "a.jpg",
        7,
        None,
    )
    assert (two["width"], two["height"], two["truncated"]) == (64, 48, True)
    assert (none["boxes"], none["keypoints"], none["page_index"]) == ([], [], 1)
    assert none["truncated"] is False
    assert (failed["boxes"], failed["width"], failed["truncated"]) == (None, None, None)
    assert (failed["error_class"], failed["error_message"]) == ("ServerError", "broken")


def test_a_part_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with writing_part(tmp_path / "part.parquet") as part:
            part.add(row_of(0, "a.jpg", result(1)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_parts_that_cannot_be_read_are_not_finished(tmp_path: Path) -> None:
    assert finished_counts(tmp_path / "none") is None
    (tmp_path / "broken").write_bytes(b"PAR1 and no more")
    assert finished_counts(tmp_path / "broken") is None


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_sizes_are_those_that_opencv_decodes(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image{suffix}"
    Image.fromarray(FRAME).save(path, exif=exif)
    height, width = cv2.imread(str(path)).shape[:2]
    assert size_of(path.read_bytes()) == (width, height)


def test_sizes_that_cannot_be_told() -> None:
    assert size_of(None) is None
    assert size_of(b"no image") is None


def test_coco(tmp_path: Path) -> None:
    parts = [tmp_path / "0", tmp_path / "1"]
    for path, counts in zip(parts, ([2, None], [0, 1]), strict=True):
        with writing_part(path) as part:
            for count in counts:
                failed = KeypointResult("a.jpg", error=ServerError("broken"))
                part.add(row_of(0, f"{path.name}.jpg", failed if count is None else result(count)))
    write_coco(parts, tmp_path / "coco.json")
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert coco["images"] == [
        {"id": 1, "file_name": "0.jpg", "item": 0, "width": 64, "height": 48},
        {"id": 2, "file_name": "1.jpg", "item": 0, "width": 64, "height": 48},
        {"id": 3, "file_name": "1.jpg", "item": 0, "width": 64, "height": 48},
    ]
    annotations = coco["annotations"]
    assert [(entry["id"], entry["image_id"]) for entry in annotations] == [(1, 1), (2, 1), (3, 3)]
    assert annotations[0]["bbox"] == [1.5, 2, 10, 40]
    assert annotations[0]["area"] == 400
    # Scores are 2/51, 5/51, ...: all but the first two are 0.1 or more.
    assert annotations[0]["num_keypoints"] == 15
    assert coco["categories"][0]["skeleton"][0] == [1, 2]


def test_other_keypoints(tmp_path: Path) -> None:
    """Rows say what their keypoints are, and COCO's file has a category of each kind."""
    schema = KeypointSchema(("left", "right"), ((0, 1),), flip_pairs=((0, 1),))
    frame = np.zeros((48, 64, 3), np.uint8)
    places = np.array([[1.5, 2, 11.5, 42]], np.float32), np.array([0.5], np.float32)

    def found(joints: int, told: KeypointSchema | None) -> KeypointResult:
        keypoints = np.full((1, joints, 3), 0.5, np.float32)
        people = PoseResponse(*places, keypoints, places[1], keypoint_schema=told)
        return KeypointResult("a.jpg", frame, people)

    path = tmp_path / "part.parquet"
    with writing_part(path) as part:
        for joints, told in ((2, schema), (17, None), (2, schema), (3, None)):
            part.add(row_of(0, "a.jpg", found(joints, told)))
        part.add(row_of(0, "a.jpg", result(0)))
    rows = parquet.read_table(path).to_pylist()
    assert [row["keypoint_schema"] for row in rows] == [
        *(schema.to_json(), None, schema.to_json(), None, None)
    ]
    assert [len(row["keypoints"][0]) for row in rows[:4]] == [2, 17, 2, 3]
    write_coco([path], tmp_path / "coco.json")
    coco = json.loads((tmp_path / "coco.json").read_text())
    names = [category["keypoints"] for category in coco["categories"]]
    assert [category["id"] for category in coco["categories"]] == [1, 2, 3]
    assert names[0] == ["left", "right"]
    assert names[1][0] == "nose"
    assert names[2] == ["keypoint_0", "keypoint_1", "keypoint_2"]
    annotations = coco["annotations"]
    assert [entry["category_id"] for entry in annotations] == [1, 2, 1, 3]
    assert [len(entry["keypoints"]) for entry in annotations] == [6, 51, 6, 9]
