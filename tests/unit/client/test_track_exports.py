"""Tracks as MOTChallenge's text, COCO and PoseTrack JSON, read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from poses import tracked_result
from tritonpose import InputError, KeypointResult
from tritonpose.export import coco_tracks, mot_text, posetrack_json
from tritonpose.tracking import TrackedResult
from tritonpose_pipeline.keypoint_schema import KeypointSchema

IDS = [[1, 2], [2, None, 1], [], [3]]


def clip() -> list[TrackedResult]:
    return [tracked_result(ids, number) for number, ids in enumerate(IDS)]


def failed() -> TrackedResult:
    return TrackedResult(
        KeypointResult("clip.mp4", error=InputError("frame 2 is damaged")), None, (), 0.2, "clip"
    )


def numbered_people(results: list[TrackedResult]) -> list[tuple[TrackedResult, int, int]]:
    """Each person with an id: the frame, the row in it, the id."""
    return [
        (result, row, number)
        for result in results
        for row, number in enumerate(result.track_ids)
        if number is not None
    ]


def test_mot() -> None:
    results = clip()
    lines = "".join(map(mot_text, results)).splitlines()
    expected = numbered_people(results)
    assert len(lines) == len(expected) == 5
    for line, (result, row, number) in zip(lines, expected, strict=True):
        fields = line.split(",")
        assert fields[:2] == [str(result["frame_index"] + 1), str(number)]
        assert fields[7:] == ["-1", "-1", "-1"]
        left, top, width, height, score = np.array(fields[2:7], np.float32)
        person = result["boxes"][row]
        assert [left, top] == person["coordinate"][:2]
        assert [left + width, top + height] == pytest.approx(person["coordinate"][2:], abs=1e-3)
        assert score == np.float32(person["det_score"])


def test_mot_of_an_error_is_the_error() -> None:
    with pytest.raises(InputError, match="damaged"):
        mot_text(failed())


def test_coco(tmp_path: Path) -> None:
    results = clip()
    (tmp_path / "coco.json").write_text(
        json.dumps(coco_tracks([results[0], failed(), *results[1:]]))
    )
    coco = COCO(tmp_path / "coco.json")
    assert [image["frame_index"] for image in coco.dataset["images"]] == [0, 1, 2, 3]
    assert [image["timestamp"] for image in coco.dataset["images"]] == [0, 0.1, 0.2, 0.3]
    assert {(image["width"], image["height"]) for image in coco.imgs.values()} == {(640, 480)}
    assert [image["file_name"] for image in coco.imgs.values()][1] == "clip/000001.jpg"
    people = coco.loadAnns(coco.getAnnIds())
    assert [person["id"] for person in people] == [1, 2, 3, 4, 5]
    for person, (result, row, number) in zip(people, numbered_people(results), strict=True):
        box = result["boxes"][row]
        assert person["track_id"] == number
        assert coco.imgs[person["image_id"]]["frame_index"] == result["frame_index"]
        x1, y1, x2, y2 = map(float, box["coordinate"])
        assert person["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
        points = np.array(person["keypoints"]).reshape(-1, 3)
        np.testing.assert_array_equal(points[:, :2].astype(np.float32), box["keypoints"][:, :2])
        assert person["num_keypoints"] == (box["keypoints"][:, 2] >= 0.1).sum()
    (category,) = coco.dataset["categories"]
    assert category["keypoints"] == list(results[0].keypoint_schema.names)


def test_posetrack() -> None:
    results = clip()
    told = json.loads(json.dumps(posetrack_json(results)))
    (category,) = told["categories"]
    names = category["keypoints"]
    assert category["name"] == "person"
    assert len(names) == 17
    # Of the 15 that are evaluated, in any order, none may be missing.
    assert {"head_bottom", "head_top", "nose", "left_ankle", "right_wrist"} <= set(names)
    assert max(map(max, category["skeleton"])) == 17
    assert [image["has_labeled_person"] for image in told["images"]] == [True, True, False, True]
    assert len({image["vid_id"] for image in told["images"]}) == 1
    images = {image["id"]: image["frame_index"] for image in told["images"]}
    own = results[0].keypoint_schema.names
    people = told["annotations"]
    for person, (result, row, number) in zip(people, numbered_people(results), strict=True):
        assert (person["track_id"], person["person_id"]) == (number, number)
        assert images[person["image_id"]] == result["frame_index"]
        points = np.array(person["keypoints"]).reshape(17, 3)
        for name, (x, y, labeled), score in zip(names, points, person["scores"], strict=True):
            if name in own:
                expected = result["boxes"][row]["keypoints"][own.index(name)]
                assert [x, y, score] == expected.tolist()
                assert labeled == (expected[2] >= 0.1)
            else:
                assert name in ("head_bottom", "head_top")
                assert (x, y, labeled, score) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("preset", "bottom", "top"), [("halpe26", "neck", "head"), ("mpii16", "upper_neck", "head_top")]
)
def test_posetrack_of_models_with_a_head(preset: str, bottom: str, top: str) -> None:
    schema = KeypointSchema.from_mapping({"preset": preset}, "")
    result = tracked_result([7])
    points = np.random.default_rng(1).uniform(1, 90, (1, len(schema.names), 3)).astype(np.float32)
    people = replace(result.arrays, keypoints=points, keypoint_schema=schema)
    told = posetrack_json([TrackedResult(result, people, [7], 0, "x")])
    (person,) = told["annotations"]
    triples = np.array(person["keypoints"]).reshape(17, 3)
    by_name = dict(zip(told["categories"][0]["keypoints"], triples, strict=True))
    for name, own in (("head_bottom", bottom), ("head_top", top), ("left_knee", "left_knee")):
        assert by_name[name][:2].tolist() == points[0, schema.names.index(own), :2].tolist()


def test_nobody_at_all() -> None:
    for make in (coco_tracks, posetrack_json):
        told = make([])
        assert (told["images"], told["annotations"], len(told["categories"])) == ([], [], 1)
    assert mot_text(tracked_result([])) == ""
