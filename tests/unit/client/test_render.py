"""Rendering: equal to PaddleX's, pixel for pixel."""

import json
import math
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

import reference_data
from poses import people
from tritonpose import InputError, KeypointResult
from tritonpose.drawing.poses import draw_poses
from tritonpose_pipeline.keypoint_schema import KeypointSchema, default_schema

GOLDEN = reference_data.ROOT / "golden"

# The reference's list, apart from the one under test.
LIMBS = "0-1 0-2 1-3 2-4 3-5 4-6 5-7 6-8 7-9 8-10 5-11 6-12 11-13 12-14 13-15 14-16 11-12"


def hue_circle() -> list[tuple[int, int, int]]:
    """Eighteen steps round the hue circle, computed."""
    ramp = [0, 85, 170, 255]
    rising = [(255, v, 0) for v in ramp] + [(v, 255, 0) for v in (170, 85, 0)]
    green_to_blue = [(0, 255, v) for v in ramp[1:]] + [(0, v, 255) for v in (170, 85, 0)]
    return rising + green_to_blue + [(v, 0, 255) for v in ramp[1:]] + [(255, 0, 170), (255, 0, 85)]


def blend_everything(image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """The slow way: blends the whole image once per limb and person."""
    canvas = image.copy()
    colors = hue_circle()
    for joint in range(17):
        for person in keypoints:
            if person[joint, 2] >= 0.1:
                center = person[joint, :2].astype(int).tolist()
                cv2.circle(canvas, center, 2, colors[joint], thickness=-1)
    for limb, color in zip(LIMBS.split(), colors, strict=False):
        a, b = map(int, limb.split("-"))
        for person in keypoints:
            if person[a, 2] < 0.1 or person[b, 2] < 0.1:
                continue
            middle = np.mean(person[[a, b], :2], axis=0)
            delta = (person[a, :2] - person[b, :2]).astype(np.float64)
            axes = (int(np.linalg.norm(delta) / 2), 1)
            angle = int(math.degrees(math.atan2(delta[1], delta[0])))
            polygon = cv2.ellipse2Poly((int(middle[0]), int(middle[1])), axes, angle, 0, 360, 1)
            layer = cv2.fillConvexPoly(canvas.copy(), polygon, color)
            canvas = cv2.addWeighted(canvas, 0.4, layer, 0.6, 0)
    return canvas


def random_people(seed: int, people: int, size: tuple[int, int]) -> np.ndarray:
    """People of all sizes, some reaching far out of the image of (height, width)."""
    random = np.random.default_rng(seed)
    height, width = size
    centers = random.uniform((0, 0), (width, height), (people, 1, 2))
    spreads = random.uniform(2, 2 * width, (people, 1, 1))
    places = centers + spreads * random.uniform(-0.5, 0.5, (people, 17, 2))
    scores = random.uniform(0, 0.6, (people, 17, 1))
    return np.concatenate([places, scores], axis=2).astype(np.float32)


def random_image(seed: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@reference_data.needed
def test_equals_paddlex() -> None:
    renders = sorted(GOLDEN.glob("renders/*.png"))
    assert len(renders) >= 7
    for render in renders:
        result = json.loads((GOLDEN / "picodet320_tinypose128" / f"{render.stem}.json").read_text())
        image = cv2.imread(str(reference_data.image(result["input_path"])))
        people = [box["keypoints"] for box in result["boxes"]]
        drawn = draw_poses(image, np.array(people, dtype=np.float32).reshape(-1, 17, 3))
        np.testing.assert_array_equal(drawn, cv2.imread(str(render)), render.stem)


@pytest.mark.parametrize("size", [(120, 160), (37, 53), (1, 9), (9, 1)])
@pytest.mark.parametrize("seed", range(8))
def test_equals_blending_the_whole_image(seed: int, size: tuple[int, int]) -> None:
    image, keypoints = random_image(seed, size), random_people(seed, 4, size)
    expected = blend_everything(image, keypoints)
    assert (expected != image).any()
    np.testing.assert_array_equal(draw_poses(image, keypoints), expected)


@pytest.mark.parametrize("place", [(-500, 30), (900, 30), (40, -500), (40, 900), (-500, -500)])
def test_people_beside_the_image(place: tuple[int, int]) -> None:
    image, keypoints = random_image(3, (60, 80)), random_people(3, 1, (60, 80))
    keypoints[..., :2] = np.random.default_rng(3).uniform(-40, 40, (17, 2)) + place
    np.testing.assert_array_equal(draw_poses(image, keypoints), image)


def test_blending_equal_values_changes_none() -> None:
    values = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(cv2.addWeighted(values, 0.4, values, 0.6, 0), values)


def test_images_in_any_layout_are_left_alone() -> None:
    image, keypoints = random_image(2, (60, 80))[:, ::-1], random_people(2, 3, (60, 80))
    image.flags.writeable = keypoints.flags.writeable = False
    expected = blend_everything(np.ascontiguousarray(image), keypoints)
    np.testing.assert_array_equal(draw_poses(image, keypoints), expected)
    np.testing.assert_array_equal(draw_poses(image, keypoints[:0]), image)


@pytest.mark.parametrize(
    ("score", "drawn"), [(0.1, True), (np.nextafter(np.float32(0.1), np.float32(0)), False)]
)
def test_scores_below_a_tenth_are_not_drawn(score: float, drawn: bool) -> None:
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    keypoints = np.full((1, 17, 3), 30, dtype=np.float32)
    keypoints[..., 2] = score
    assert draw_poses(image, keypoints).any() == drawn


def test_skeleton() -> None:
    assert [f"{a}-{b}" for a, b in default_schema(17).skeleton] == LIMBS.split()
    assert len(default_schema(17).names) == 17
    mirrored = [name.replace("left", "right") for name in default_schema(17).names[1::2]]
    assert mirrored == list(default_schema(17).names[2::2])


def test_the_picture_in_a_notebook_is_small() -> None:
    result = KeypointResult("x.jpg", np.zeros((3000, 4000, 3), np.uint8), people(2))
    shown = result._repr_png_()
    assert shown is not None
    with Image.open(BytesIO(shown)) as image:
        assert (image.format, image.size) == ("PNG", (640, 480))
    assert KeypointResult("x.jpg", error=InputError("no image"))._repr_png_() is None


@pytest.mark.parametrize("joints", [1, 5, 26, 133])
def test_any_keypoints(joints: int) -> None:
    """Points without limbs where nobody knows them, else what the schema has."""
    image = np.zeros((200, 300, 3), np.uint8)
    places = np.array([(5 + 20 * (i % 14), 5 + 18 * (i // 14), 0.9) for i in range(joints)])
    keypoints = places[None].astype(np.float32)
    plain = draw_poses(image, keypoints)
    for joint, (x, y, _) in enumerate(places.astype(int)):
        expected = default_schema(joints).color(joint)[::-1]
        assert plain[y, x].tolist() == list(expected)
    names = tuple(str(joint) for joint in range(joints))
    colors = ((255, 0, 0), (0, 0, 255))
    limbs = ((0, joints - 1),) if joints > 1 else ()
    drawn = draw_poses(image, keypoints, KeypointSchema(names, limbs, colors))
    for joint, (x, y, _) in enumerate(places[1:].astype(int), 1):
        if joint != joints - 1:
            assert drawn[y, x, 0 if joint % 2 else 2] >= 100
    without = draw_poses(image, keypoints, KeypointSchema(names, (), colors))
    assert (drawn != without).any() == bool(limbs)
    # Red lies last in OpenCV's order.
    assert without[5, 5].tolist() == [0, 0, 255]


def test_the_default_schema_is_paddlexs() -> None:
    image, keypoints = random_image(4, (60, 80)), random_people(4, 2, (60, 80))
    expected = draw_poses(image, keypoints)
    for schema in (default_schema(17), KeypointSchema.from_mapping({"preset": "coco17"}, "")):
        np.testing.assert_array_equal(draw_poses(image, keypoints, schema), expected)
