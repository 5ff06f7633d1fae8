"""Results: PaddleX's dict, its printed and saved forms, and the lazily decoded image."""

import copy
import json
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import reference_data
from poses import made_up_result
from tritonpose import InputError, KeypointResult, ServerError
from tritonpose.drawing.poses import draw_poses
from tritonpose.transport.messages import PoseResponse

GOLDEN = reference_data.ROOT / "golden" / "picodet320_tinypose128"

PIXELS = np.full((40, 60, 3), (10, 20, 200), dtype=np.uint8)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()


def response(people: int) -> PoseResponse:
    """A response whose numbers all differ."""
    keypoints = np.arange(people * 51, dtype=np.float32).reshape(people, 17, 3) / 3
    return PoseResponse(
        np.arange(people * 4, dtype=np.float32).reshape(people, 4) / 7,
        np.linspace(0.9, 0.6, people, dtype=np.float32),
        keypoints,
        keypoints[..., 2].mean(axis=1),
    )


def result(people: int = 1, path: str | None = "dir/photo.png", **kwargs: Any) -> KeypointResult:
    return KeypointResult(path, PNG, response(people), **kwargs)


def from_golden(golden: dict[str, Any]) -> KeypointResult:
    """A result as if the server had answered with PaddleX's numbers."""
    arrays = PoseResponse.from_paddlex(golden["boxes"])
    return KeypointResult(golden["input_path"], PNG, arrays)


@reference_data.needed
def test_saved_json_equals_paddlex(tmp_path: Path) -> None:
    files = sorted(GOLDEN.glob("*.json"))
    assert files
    for file in files:
        golden = json.loads(file.read_text())
        from_golden(golden).save_to_json(tmp_path)
        saved = json.loads((tmp_path / f"{file.stem}_res.json").read_text())
        assert saved == golden
        assert list(saved) == list(golden)
        assert [list(box) for box in saved["boxes"]] == [list(box) for box in golden["boxes"]]


def test_value_types() -> None:
    res = result()
    assert list(res) == ["input_path", "input_img", "boxes"]
    (box,) = res["boxes"]
    assert list(box) == ["coordinate", "det_score", "keypoints", "kpt_score"]
    assert [type(value) for value in box["coordinate"]] == [np.float32] * 4
    assert type(box["det_score"]) is float
    assert (box["keypoints"].shape, box["keypoints"].dtype) == ((17, 3), np.float32)
    assert type(box["kpt_score"]) is np.float32


def updated(target: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    target.update(source)
    return target


COPIES: dict[str, Callable[[KeypointResult], KeypointResult]] = {
    "copy": KeypointResult.copy,
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda res, protocol=protocol: pickle.loads(
            pickle.dumps(res, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
# Ways to make a dict that has the image, and to read the image itself.
DICTS: dict[str, Callable[[KeypointResult], dict[str, Any]]] = {
    "itself": lambda res: res,
    "items": lambda res: dict(res.items()),
    "values": lambda res: dict(zip(res, res.values(), strict=True)),
    "dict": lambda res: dict(res),
    "unpacking": lambda res: {**res},
    "update": lambda res: updated({}, res),
    "or": lambda res: res | {"a": 1},
    "ror": lambda res: {"a": 1} | res,
    "popitem": lambda res: dict([res.popitem(), res.popitem()]),
    **COPIES,
}
READERS: dict[str, Callable[[KeypointResult], Any]] = {
    "get": lambda res: res.get("input_img"),
    "setdefault": lambda res: res.setdefault("input_img"),
    "pop": lambda res: res.pop("input_img"),
    **{name: lambda res, made=made: made(res)["input_img"] for name, made in DICTS.items()},
}


@pytest.mark.parametrize("reader", READERS)
def test_image_is_decoded_by_every_way_to_read_it_and_no_sooner(reader: str) -> None:
    np.testing.assert_array_equal(READERS[reader](result()), PIXELS)
    with pytest.raises(InputError, match="truncated or corrupt"):
        READERS[reader](KeypointResult("a.png", PNG[:40]))


def test_what_a_result_shows_of_itself_is_made() -> None:
    res = made_up_result(1)
    assert repr(res) == repr({key: res[key] for key in res})
    assert "'keypoints': array(" in repr(made_up_result(1))


def test_what_needs_no_image_decodes_none() -> None:
    res = KeypointResult("a.png", PNG[:40])
    assert (res["input_path"], res["boxes"], len(res), "input_img" in res) == ("a.png", [], 3, True)
    assert all(made(res).get("boxes") == [] for made in COPIES.values())
    assert res.json == {"res": {"input_path": "a.png", "boxes": []}}
    assert res.held_image() == PNG[:40]


def test_image_is_decoded_once_and_may_be_replaced() -> None:
    res = result()
    assert res["input_img"] is res["input_img"]
    res["input_img"] = None
    assert res["input_img"] is None


@pytest.mark.parametrize("how", COPIES)
def test_copies_keep_what_a_result_knows(how: str, tmp_path: Path) -> None:
    res = result(
        2, page_index=2, frame_index=3, saved_as="sub/x.png", truncated=True, error=ServerError("x")
    )
    duplicate = COPIES[how](res)
    assert type(duplicate) is KeypointResult
    assert type(duplicate.error) is ServerError
    assert duplicate.truncated
    assert list(duplicate) == list(res)
    assert duplicate.json == res.json
    duplicate.save_to_json(tmp_path)
    assert (tmp_path / "sub" / "x_frame000003_res.json").is_file()


def test_deep_copies_share_nothing_and_shallow_ones_their_boxes() -> None:
    res = result()
    _ = res["input_img"]
    assert res.copy()["boxes"] is copy.copy(res)["boxes"] is res["boxes"]
    assert result().copy().arrays.boxes.shape == (1, 4)
    duplicate = copy.deepcopy(res)
    duplicate["boxes"][0]["keypoints"][:] = 0
    duplicate["input_img"][:] = 0
    np.testing.assert_array_equal(res["boxes"][0]["keypoints"], response(1).keypoints[0])
    np.testing.assert_array_equal(res["input_img"], PIXELS)


def test_results_cross_processes() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (res,) = pool.map(KeypointResult.copy, [result()])
    np.testing.assert_array_equal(res["boxes"][0]["keypoints"], response(1).keypoints[0])
    np.testing.assert_array_equal(res["input_img"], PIXELS)


def test_exif_orientation_is_applied() -> None:
    stored = np.zeros((20, 40, 3), dtype=np.uint8)
    stored[:, :20] = 255
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    orientation = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  # 6: rotate clockwise
    exif = b"Exif\0\0MM\0*\0\0\0\x08\x00\x01" + orientation + bytes(4)
    jpeg = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    shown = KeypointResult("a.jpg", jpeg)["input_img"]
    assert shown.shape == (40, 20, 3)
    assert (shown[5].min(), shown[35].max()) == (255, 0)


PRINTED = """\
{'res': {'input_path': 'dir/photo.png', 'boxes': [{'coordinate': [0.0, 0.14285715, 0.2857143, \
0.42857143], 'det_score': 0.8999999761581421, 'keypoints': array([[ 0.        ,  0.33333334,  \
0.6666667 ],
       [ 1.        ,  1.3333334 ,  1.6666666 ],
"""


def test_printed_whole_as_in_paddlexs_guide(capsys: pytest.CaptureFixture[str]) -> None:
    before = np.get_printoptions()
    res = result(200)
    res.print()
    printed = capsys.readouterr().out
    assert printed.startswith(PRINTED)
    assert printed.endswith("]], dtype=float32), 'kpt_score': 3391.6667}]}}\n")
    assert "..." not in printed
    read = eval(printed, {"array": np.array, "float32": np.float32})
    for box, expected in zip(read["res"]["boxes"], res["boxes"], strict=True):
        np.testing.assert_array_equal(box["keypoints"], expected["keypoints"])
    assert np.get_printoptions() == before


@pytest.mark.parametrize("keyword", ["json_format", "format_json"])
def test_printed_json(capsys: pytest.CaptureFixture[str], keyword: str) -> None:
    res = result(path="höhe.png")
    res.print(**{keyword: True}, indent=2)
    printed = capsys.readouterr().out
    assert json.loads(printed) == res.json
    assert res.json["res"]["boxes"][0]["keypoints"] == response(1).keypoints[0].tolist()
    assert printed.startswith('{\n  "res": {\n    "input_path": "höhe.png"')
    res.print(**{keyword: True}, ensure_ascii=True)
    assert "h\\u00f6he.png" in capsys.readouterr().out


def test_rendering() -> None:
    res = result()
    image = res.img["res"]
    assert (image.mode, image.size) == ("RGB", (60, 40))
    expected = draw_poses(PIXELS, response(1).keypoints)
    assert (expected != PIXELS).any()
    np.testing.assert_array_equal(np.asarray(image)[..., ::-1], expected)
    np.testing.assert_array_equal(res["input_img"], PIXELS)


def test_jpegs_are_saved_as_pillow_does_by_default(tmp_path: Path) -> None:
    res = result(path="photo.jpg")
    res.save_to_img(tmp_path)
    res.img["res"].save(tmp_path / "expected.jpg", quality=75)
    expected = (tmp_path / "expected.jpg").read_bytes()
    assert (tmp_path / "photo_res.jpg").read_bytes() == expected


def test_arrays_are_those_that_came() -> None:
    arrays = response(2)
    res = KeypointResult("a.png", PNG, arrays)
    assert res.arrays is arrays
    boxes = res["boxes"]
    assert res["boxes"] is boxes
    assert np.shares_memory(boxes[0]["keypoints"], arrays.keypoints)
    for name in ("boxes", "det_scores", "keypoints", "kpt_scores"):
        np.testing.assert_array_equal(getattr(res.arrays, name), getattr(arrays, name))
    del boxes[:]
    assert (res.arrays.boxes.shape, res.arrays.keypoints.shape) == ((0, 4), (0, 17, 3))


def test_what_is_drawn_and_exported_follows_changes_of_the_boxes() -> None:
    res = result(3, truncated=True)
    res["boxes"] = [box for box in res["boxes"] if box["det_score"] < 0.8]
    assert res.arrays.det_scores.tolist() == response(3).det_scores[1:].tolist()
    assert res.arrays.truncated
    assert (len(res.to_coco(1)), len(res.json["res"]["boxes"])) == (2, 2)
    drawn = draw_poses(PIXELS, response(3).keypoints[1:])
    np.testing.assert_array_equal(np.asarray(res.render())[..., ::-1], drawn)


def test_errors_are_told_from_empty_images(tmp_path: Path) -> None:
    res = KeypointResult("photo.jpg", None, error=InputError("'photo.jpg' is empty"))
    assert (res["boxes"], res["input_img"]) == ([], None)
    assert res.json["res"]["error"] == "InputError: 'photo.jpg' is empty"
    with pytest.raises(InputError, match="is empty"):
        res.save_to_img(tmp_path)


def test_more_people_than_the_server_gives(tmp_path: Path) -> None:
    whole, part = result(2), result(2, truncated=True)
    assert "truncated" not in whole.json["res"]
    assert part.json == {"res": whole.json["res"] | {"truncated": True}}
    part.save_to_json(tmp_path)
    assert json.loads((tmp_path / "photo_res.json").read_text())["truncated"] is True
    # Not among PaddleX's keys, and as lasting as those.
    assert set(part) == set(whole)
    assert not whole.truncated
