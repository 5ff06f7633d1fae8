"""Results in the formats of annotation tools, with any number of keypoints."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from poses import made_up_result, people
from tritonpose import ConfigError, InputError, KeypointResult
from tritonpose.export import (
    coco_category,
    csv_text,
    cvat_image,
    cvat_xml,
    fiftyone_labels,
    fiftyone_skeleton,
    label_studio_config,
    label_studio_task,
    openpose_json,
)
from tritonpose_pipeline.keypoint_schema import KeypointSchema

WIDTH, HEIGHT = 640, 480
PRESETS = ("coco17", "halpe26", "mpii16", "hand21", "coco133")


def schema_of(preset: str) -> KeypointSchema:
    return KeypointSchema.from_mapping({"preset": preset}, "")


def result_of(schema: KeypointSchema, count: int = 2, path: str | None = "a/鼻 1.jpg") -> Any:
    """A result with such keypoints; some of them score less than 0.1."""
    points = np.random.default_rng(3).uniform(0, 1, (count, len(schema.names), 3))
    points[..., :2] *= (WIDTH, HEIGHT)
    found = replace(people(count), keypoints=points.astype(np.float32), keypoint_schema=schema)
    return KeypointResult(path, np.zeros((HEIGHT, WIDTH, 3), np.uint8), found)


def triples(numbers: list[float]) -> np.ndarray:
    return np.array(numbers, np.float32).reshape(-1, 3)


@pytest.mark.parametrize("preset", PRESETS)
def test_coco_of_any_keypoints(preset: str) -> None:
    schema = schema_of(preset)
    result = result_of(schema)
    found = result.to_coco(np.int64(7), category_id=np.uint8(2))
    assert json.loads(json.dumps(found)) == found
    assert [(each["image_id"], each["category_id"]) for each in found] == [(7, 2)] * 2
    for person, points in zip(found, result.arrays.keypoints, strict=True):
        np.testing.assert_array_equal(triples(person["keypoints"])[:, :2], points[:, :2])
    category = coco_category(schema)
    assert category["keypoints"] == list(schema.names)
    assert {number for pair in category["skeleton"] for number in pair} <= {
        *range(1, len(schema.names) + 1)
    }
    assert len(category["skeleton"]) == len(schema.skeleton)


@pytest.mark.parametrize("preset", PRESETS)
def test_openpose(preset: str) -> None:
    result = result_of(schema_of(preset))
    content = openpose_json(result)
    assert json.loads(json.dumps(content)) == content
    assert content["version"] == 1.3
    for person, points in zip(content["people"], result.arrays.keypoints, strict=True):
        pose = triples(person["pose_keypoints_2d"])
        place = result.keypoint_schema.names.index
        if preset in ("mpii16", "hand21"):
            np.testing.assert_array_equal(pose, points)
            continue
        assert len(pose) == 25
        for index, name in ((0, "nose"), (4, "right_wrist"), (14, "left_ankle"), (18, "left_ear")):
            np.testing.assert_array_equal(pose[index], points[place(name)])
        if preset == "halpe26":
            assert {*map(tuple, pose)} == {*map(tuple, np.delete(points, place("head"), 0))}
        else:
            left, right = points[place("left_shoulder")], points[place("right_shoulder")]
            np.testing.assert_allclose(pose[1, :2], (left + right)[:2] / 2, rtol=1e-6)
            assert pose[1, 2] == min(left[2], right[2])
            assert (pose[19:] == 0).all() == (preset == "coco17")
        parts = [len(triples(person[f"{part}_keypoints_2d"])) for part in ("face", "hand_left")]
        assert parts == ([70, 21] if preset == "coco133" else [0, 0])
        if preset == "coco133":
            hand = triples(person["hand_right_keypoints_2d"])
            np.testing.assert_array_equal(hand, points[112:133])
    own = openpose_json(result, "own")["people"][0]
    np.testing.assert_array_equal(triples(own["pose_keypoints_2d"]), result.arrays.keypoints[0])


def test_orders_of_openpose() -> None:
    result = result_of(schema_of("coco17"))
    pose = triples(openpose_json(result, "coco_18")["people"][0]["pose_keypoints_2d"])
    # Nose, neck, right arm, left arm, right leg, left leg, eyes, ears.
    places = [0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    np.testing.assert_array_equal(np.delete(pose, 1, 0), result.arrays.keypoints[0, places])
    with pytest.raises(ConfigError, match="expected body_25, coco_18 or own"):
        openpose_json(result, "BODY_25")
    with pytest.raises(ConfigError, match="names of COCO's"):
        openpose_json(result_of(schema_of("mpii16")), "body_25")
    assert openpose_json(result_of(schema_of("coco17"), 0))["people"] == []


def test_cvat() -> None:
    schema = KeypointSchema(("a & b", "<鼻>", "c\x01"))
    results = [result_of(schema), result_of(schema, 0, path="none\x02.jpg")]
    text = cvat_xml(cvat_image(each, number) for number, each in enumerate(results))
    root = ET.fromstring(text.encode())
    assert root.findtext("version") == "1.1"
    labels = [(each.findtext("name"), each.findtext("type")) for each in root.iter("label")]
    assert labels == [
        *(("person", "skeleton"), ("a & b", "points"), ("<鼻>", "points"), ("c_", "points"))
    ]
    first, second = root.iter("image")
    assert first.attrib == {"id": "0", "name": "鼻 1.jpg", "width": "640", "height": "480"}
    assert (second.get("name"), len(second)) == ("none_.jpg", 0)
    for skeleton, points in zip(first, results[0].arrays.keypoints, strict=True):
        for point, (x, y, score) in zip(skeleton, points, strict=True):
            assert [float(part) for part in (point.get("points") or "").split(",")] == (
                pytest.approx([x, y], abs=0.006)
            )
            assert point.get("outside") == str(int(score < 0.1))
    assert cvat_image(results[0], np.int64(3), name="x.png").get("name") == "x.png"


def test_label_studio() -> None:
    result = result_of(KeypointSchema(("鼻", "left eye", "c", "d", "e")), 4)
    task = label_studio_task(result, "/data/a.jpg")
    assert json.loads(json.dumps(task)) == task
    (prediction,) = task["predictions"]
    regions = prediction["result"]
    boxes = [each for each in regions if each["type"] == "rectanglelabels"]
    for each, box in zip(boxes, result.arrays.boxes, strict=True):
        value = each["value"]
        corner = np.array([value["x"] * WIDTH, value["y"] * HEIGHT]) / 100
        size = np.array([value["width"] * WIDTH, value["height"] * HEIGHT]) / 100
        np.testing.assert_allclose([*corner, *corner + size], box, rtol=1e-5)
    points = [each for each in regions if each["type"] == "keypointlabels"]
    drawn = result.arrays.keypoints[result.arrays.keypoints[..., 2] >= 0.1]
    assert len(points) == len(drawn) < 20
    for each, (x, y, score) in zip(points, drawn, strict=True):
        assert each["value"]["x"] * WIDTH / 100 == pytest.approx(x)
        assert each["value"]["y"] * HEIGHT / 100 == pytest.approx(y)
        assert each["score"] == pytest.approx(score)
        assert each["parentID"] in {box["id"] for box in boxes}
    assert len({each["id"] for each in regions}) == len(regions)
    interface = ET.fromstring(label_studio_config(result.keypoint_schema))
    names = {tag.get("name") for tag in interface}
    assert {each[key] for each in regions for key in ("from_name", "to_name")} <= names
    keypoints = [label.get("value") for label in interface.iterfind("KeyPointLabels/Label")]
    assert keypoints == ["鼻", "left eye", "c", "d", "e"]
    nobody = label_studio_task(result_of(schema_of("coco17"), 0), "a.jpg")
    assert nobody["predictions"][0]["result"] == []


def test_fiftyone() -> None:
    result = result_of(schema_of("hand21"), 3)
    labels = fiftyone_labels(result)
    for each, box in zip(labels["detections"]["detections"], result.arrays.boxes, strict=True):
        x, y, width, height = each["bounding_box"]
        corners = np.array([x, y, x + width, y + height]) * ([WIDTH, HEIGHT] * 2)
        np.testing.assert_allclose(corners, box, rtol=1e-5)
    for each, points in zip(labels["keypoints"]["keypoints"], result.arrays.keypoints, strict=True):
        found = np.array(each["points"]) * (WIDTH, HEIGHT)
        drawn = points[:, 2] >= 0.1
        np.testing.assert_allclose(found[drawn], points[drawn, :2], rtol=1e-5)
        assert all(math.isnan(number) for number in found[~drawn].ravel())
        assert each["confidence"] == points[:, 2].tolist()
    skeleton = fiftyone_skeleton(result.keypoint_schema)
    assert len(skeleton["labels"]) == 21
    assert len(skeleton["edges"]) == 20


def test_csv_says_what_the_table_says() -> None:
    result = result_of(KeypointSchema(('a,"b"', "c\nd")), 2)
    rows = list(csv.DictReader(io.StringIO(csv_text(result), newline="")))
    table = result.to_dataframe()
    assert list(rows[0]) == list(table.columns)
    assert [row["keypoint"] for row in rows] == table["keypoint"].tolist()
    for column in ("x", "y", "score", "det_score", "x1", "y2"):
        values = np.array([row[column] for row in rows], np.float32)
        np.testing.assert_array_equal(values, table[column])
    assert {(row["input_path"], row["page_index"]) for row in rows} == {("a/鼻 1.jpg", "")}
    assert csv_text(result).splitlines()[0] not in csv_text(result, header=False)
    assert csv_text(made_up_result(0, None)).count("\r\n") == 1


def test_results_with_an_error() -> None:
    failed = KeypointResult("a.jpg", error=InputError("no image"))
    for export in (
        openpose_json,
        cvat_image,
        fiftyone_labels,
        lambda result: label_studio_task(result, ""),
    ):
        with pytest.raises(InputError, match="no image"):
            export(failed)


TOOLS = {
    "label-studio-sdk": """
        from label_studio_sdk.label_interface import LabelInterface
        interface = LabelInterface(open("config.xml").read())
        interface.validate()
        (prediction,) = json.load(open("task.json"))["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
    """,
    "pose-format": """
        from pose_format.utils.openpose import load_openpose_directory
        pose = load_openpose_directory("openpose", fps=1, width=640, height=480)
        assert pose.body.data.shape == (1, 2, 137, 2), pose.body.data.shape
    """,
    "datumaro": """
        import datumaro
        (item,) = datumaro.Dataset.import_from("cvat/annotations.xml", "cvat")
        assert len(item.annotations) == 34
        assert len(item.annotations[0].points) == 2
    """,
    "fiftyone": """
        import fiftyone
        labels = json.load(open("fiftyone.json"))
        found = fiftyone.Keypoints.from_dict(labels["keypoints"])
        assert len(found.keypoints) == 2 and len(found.keypoints[0].points) == 17
        assert len(fiftyone.Detections.from_dict(labels["detections"]).detections) == 2
    """,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tools_themselves_read_them(tool: str, tmp_path: Path) -> None:
    """In an environment of their own, as they want other versions of what is installed here."""
    if "TRITONPOSE_TEST_TOOLS" not in os.environ:
        pytest.skip("set TRITONPOSE_TEST_TOOLS=1 to install the tools")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", tool], check=True)
    result = made_up_result(2)
    (tmp_path / "config.xml").write_text(label_studio_config(result.keypoint_schema))
    (tmp_path / "task.json").write_text(json.dumps(label_studio_task(result, "/data/a.jpg")))
    for directory in ("openpose", "cvat/images"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "openpose" / "a_000000000000_keypoints.json").write_text(
        json.dumps(openpose_json(result))
    )
    (tmp_path / "cvat" / "annotations.xml").write_text(cvat_xml([cvat_image(result)]))
    result.save_to_img(tmp_path / "cvat" / "images" / "photo.jpg")
    (tmp_path / "fiftyone.json").write_text(json.dumps(fiftyone_labels(result)))
    script = "import json\n" + "\n".join(line.strip() for line in TOOLS[tool].splitlines())
    subprocess.run([python, "-c", script], cwd=tmp_path, check=True)
