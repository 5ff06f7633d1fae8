"""Results in other libraries' formats: COCO and pandas."""

import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from poses import made_up_result
from tritonpose import KeypointResult
from tritonpose.export.coco import person_scores
from tritonpose_pipeline.keypoint_schema import default_schema

COLUMNS = {
    "input_path": "string",
    "page_index": "Int64",
    "frame_index": "Int64",
    "person": "int64",
    "keypoint": "string",
    **dict.fromkeys(("x", "y", "score", "det_score", "x1", "y1", "x2", "y2"), "float32"),
}


def annotations_of(results: dict[int, KeypointResult]) -> COCO:
    """Annotations that agree with results exactly."""
    people = [
        {**person, "id": number, "iscrowd": 0, "area": np.prod(person["bbox"][2:])}
        for number, person in enumerate(
            (person for image_id, result in results.items() for person in result.to_coco(image_id)),
            start=1,
        )
    ]
    for person in people:
        person["num_keypoints"] = sum(person["keypoints"][2::3])
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image_id, "width": 640, "height": 480} for image_id in results],
        "categories": [{"id": 1, "name": "person", "keypoints": list(default_schema(17).names)}],
        "annotations": people,
    }
    truth.createIndex()
    return truth


def test_coco_results() -> None:
    result = made_up_result(3)
    people = result.to_coco(785, category_id=4)
    assert json.loads(json.dumps(people)) == people
    assert len(people) == 3
    for person, box in zip(people, result["boxes"], strict=True):
        assert list(person) == ["image_id", "category_id", "keypoints", "score", "bbox"]
        assert (person["image_id"], person["category_id"]) == (785, 4)
        x1, y1, x2, y2 = map(float, box["coordinate"])
        assert person["bbox"] == [x1, y1, x2 - x1, y2 - y1]
        keypoints = np.array(person["keypoints"]).reshape(17, 3)
        np.testing.assert_array_equal(keypoints[:, :2], box["keypoints"][:, :2])
        np.testing.assert_array_equal(keypoints[:, 2], box["keypoints"][:, 2] >= 0.1)
        assert 0 < keypoints[:, 2].sum() < 17
        assert {type(v) for v in person["keypoints"][2::3]} == {int}
        confident = box["keypoints"][:, 2] > 0.2
        mean = box["keypoints"][confident, 2].mean()
        assert person["score"] == pytest.approx(box["det_score"] * mean)


def test_coco_results_are_evaluated_by_pycocotools() -> None:
    results = {7: made_up_result(2), 9: made_up_result(0), 11: made_up_result(4)}
    truth = annotations_of(results)
    found = truth.loadRes(
        [person for image_id, result in results.items() for person in result.to_coco(image_id)]
    )
    evaluation = COCOeval(truth, found, "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_a_table_has_one_row_per_person_and_keypoint() -> None:
    result = made_up_result(3, frame_index=12)
    table = result.to_dataframe()
    assert table.dtypes.astype(str).to_dict() == COLUMNS
    assert len(table) == 3 * 17
    assert table["person"].tolist() == [0] * 17 + [1] * 17 + [2] * 17
    assert table["keypoint"].tolist() == list(default_schema(17).names) * 3
    assert set(table["input_path"]) == {"photo.jpg"}
    assert set(table["frame_index"]) == {12}
    assert table["page_index"].isna().all()
    keypoints = np.concatenate([box["keypoints"] for box in result["boxes"]])
    np.testing.assert_array_equal(table[["x", "y", "score"]], keypoints)
    wrists = table[table["keypoint"] == "left_wrist"].set_index("person")
    for person, box in enumerate(result["boxes"]):
        assert wrists.loc[person, ["x1", "y1", "x2", "y2"]].tolist() == box["coordinate"]
        assert wrists.loc[person, "det_score"] == np.float32(box["det_score"])
        assert wrists.loc[person, "x"] == box["keypoints"][9, 0]


def test_a_table_shows_names_that_are_no_utf_8() -> None:
    table = made_up_result(1, os.fsdecode(b"\xd0.jpg")).to_dataframe()
    assert set(table["input_path"]) == {r"\xd0.jpg"}


def test_tables_of_many_results_make_one(tmp_path: Any) -> None:
    results = [made_up_result(count, path) for count, path in ((2, "a.jpg"), (0, None), (1, None))]
    tables = [result.to_dataframe() for result in results]
    table = pandas.concat(tables, ignore_index=True)
    for each in (*tables, table):
        assert each.dtypes.astype(str).to_dict() == COLUMNS
    assert table["input_path"].isna().tolist() == [False] * 34 + [True] * 17
    table.to_csv(tmp_path / "table.csv", index=False)
    read = pandas.read_csv(tmp_path / "table.csv")
    assert read["x"].to_numpy() == pytest.approx(table["x"].to_numpy())


def test_exporting_decodes_no_image() -> None:
    damaged = KeypointResult("a.png", b"\x89PNG\r\n\x1a\n", made_up_result(1).arrays)
    assert len(damaged.to_dataframe()) == 17
    assert len(damaged.to_coco(1)) == 1


@pytest.mark.parametrize(
    ("library", "export", "command"),
    [
        ("pandas", KeypointResult.to_dataframe, "[dataframe]'"),
        ("supervision", KeypointResult.to_supervision, "[supervision]'"),
    ],
)
def test_missing_libraries(
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    export: Callable[[KeypointResult], object],
    command: str,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"{library}.*{re.escape(command)}"):
        export(made_up_result(1))


def test_person_scores() -> None:
    keypoint_scores = np.array([[0.2, 0.4, 0.6], [0.1, 0.2, 0.0], [1, 1, 1]], np.float32)
    scores = person_scores(keypoint_scores, np.array([0.5, 0.5, 1], np.float32))
    # The mean of 0.4 and 0.6 times 0.5; no confident keypoint; all confident.
    assert scores == pytest.approx([0.25, 0, 1])
