"""The detector's input from an image, and people from its output."""

import math

import cv2
import numpy as np
import pytest

from composing_models import detector_network
from tritonpose_pipeline.detection import (
    Detections,
    people_inside,
    resize_for_detector,
    select_people,
)


def colors(height: int, width: int) -> np.ndarray:
    """An image whose blue, green and red grow along x, along y and not at all."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 200 // width, y * 200 // height, np.full_like(x, 250)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("nearest", cv2.INTER_NEAREST),
        ("linear", cv2.INTER_LINEAR),
        ("cubic", cv2.INTER_CUBIC),
        ("area", cv2.INTER_AREA),
        ("lanczos4", cv2.INTER_LANCZOS4),
    ],
)
def test_stretched_to_network_size(name: str, flag: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3)).astype(np.uint8)
    resized = resize_for_detector(image, detector_network(32, 48, interpolation=name))
    for channel in range(3):
        expected = cv2.resize(image[:, :, 2 - channel], (48, 32), interpolation=flag)
        np.testing.assert_array_equal(resized.pixels[:, :, channel], expected)
    assert resized.scale.dtype == np.float32
    np.testing.assert_allclose(resized.scale, [48 / 90, 32 / 50], rtol=1e-6)


@pytest.mark.parametrize(
    ("image_size", "inner"),
    [
        ((96, 64), (48, 32)),  # same aspect: nothing to pad
        ((96, 32), (48, 16)),  # wide: padding below
        ((32, 64), (16, 32)),  # tall: padding on the right
        ((24, 16), (48, 32)),  # enlarged
        ((100, 30), (48, 14)),  # 14.4 rows
        ((100, 35), (48, 17)),  # 16.8 rows
        ((1000, 3), (48, 1)),  # 0.1 rows
        ((3, 1000), (1, 32)),
    ],
)
def test_padded_to_network_size(image_size: tuple, inner: tuple) -> None:
    image = colors(image_size[1], image_size[0])
    resized = resize_for_detector(
        image, detector_network(32, 48, keep_ratio="true", interpolation="linear")
    )
    expected = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)[..., ::-1]
    assert resized.pixels.shape == (32, 48, 3)
    np.testing.assert_array_equal(resized.pixels[: inner[1], : inner[0]], expected)
    for padding in (resized.pixels[inner[1] :], resized.pixels[:, inner[0] :]):
        assert (padding == [10, 20, 30]).all()
    expected_scale = [inner[0] / image_size[0], inner[1] / image_size[1]]
    assert resized.scale.dtype == np.float32
    np.testing.assert_allclose(resized.scale, expected_scale, rtol=1e-6)


def select(
    boxes: list,
    scores: list,
    threshold: float = 0.5,
    scale: tuple = (1.0, 1.0),
    size: tuple = (100, 80),
    **facts: str,
) -> tuple[list, list]:
    persons = select_people(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(scale, np.float32),
        size,
        [threshold],
        detector_network(**facts),
    )
    assert persons.boxes.dtype == persons.scores.dtype == np.float32
    assert persons.boxes.shape == (len(persons.scores), 4)
    return persons.boxes.tolist(), persons.scores.tolist()


A, B, C = [1, 2, 11, 22], [30, 2, 41, 22], [60, 2, 71, 22]


@pytest.mark.parametrize(
    ("threshold", "kept"),
    [(0.0, [C, A, B]), (0.1, [C, A, B]), (0.25, [C, A]), (0.5, [C]), (0.74, [C]), (0.75, [])],
)
def test_scores_must_be_strictly_above_the_threshold(threshold: float, kept: list) -> None:
    boxes, scores = select([A, B, C], [0.5, 0.25, 0.75], threshold)
    assert boxes == kept
    assert scores == [0.75, 0.5, 0.25][: len(kept)]


def test_with_threshold_0_the_detectors_own_nms_threshold_remains() -> None:
    assert select([A, B], [0.25, 0.125], 0.0, nms_score_threshold="0.125")[0] == [A]


def test_the_detectors_nms_settings_are_used() -> None:
    boxes, scores = [A, [1, 2, 12, 22], B, C], [0.9, 0.8, 0.7, 0.6]
    assert select(boxes, scores)[0] == [A, B, C]
    assert select(boxes, scores, nms_iou_threshold="0.95")[0] == boxes
    assert select(boxes, scores, nms_keep_top_k="2")[0] == [A, B]
    assert select(boxes, scores, nms_top_k="2")[0] == [A]


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([-5, -6, 20, 30], [0, 0, 20, 30]),
        ([90, 70, 120, 95], [90, 70, 100, 80]),
        ([-5, -5, 200, 200], [0, 0, 100, 80]),
        ([99.5, 79.5, 200, 200], [99.5, 79.5, 100, 80]),
        ([100, 10, 120, 20], None),  # beyond the right border
        ([-20, 10, 0, 20], None),
        ([10, 80, 20, 99], None),
        ([10, -9, 20, 0], None),
        ([10, 10, 10, 20], None),  # no width
        ([10, 20, 20, 20], None),  # no height
        ([20, 10, 10, 20], None),  # turned inside out
    ],
)
def test_boxes_are_clipped_and_those_without_area_dropped(box: list, clipped: list | None) -> None:
    boxes, scores = select([box, A], [0.9, 0.75], nms_iou_threshold="1.0")
    assert boxes == ([clipped, A] if clipped else [A])
    assert len(scores) == len(boxes)


def test_boxes_come_in_image_pixels() -> None:
    boxes, _ = select([[10, 20, 30, 40]], [0.9], scale=(0.5, 0.25), size=(640, 480))
    assert boxes == [[20, 80, 60, 160]]
    # Suppression comes before clipping: boxes that are the same only inside the image both stay.
    outside = [[-90, 0, 10, 20], [-9, 0, 10, 20]]
    assert select(outside, [0.9, 0.8])[0] == [[0, 0, 10, 20]] * 2
    assert select([], []) == select([A], [0.1]) == ([], [])


def test_several_classes() -> None:
    """Each has its threshold and its suppression; the best come first, whatever their class."""
    near = [2, 2, 12, 22]
    boxes = np.array([A, near, B, C], np.float32)
    scores = np.array(
        [[0.9, 0.8, 0.1, 0.4], [0.1, 0.85, 0.6, 0.3], [0.9, 0.9, 0.9, 0.9]], np.float32
    )

    def found(*thresholds: float, keep: str = "100") -> list[tuple[list[float], float]]:
        network = detector_network(nms_keep_top_k=keep)
        scale = np.ones(2, np.float32)
        people = select_people(boxes, scores, scale, (100, 80), thresholds, network)
        return list(zip(people.boxes.tolist(), np.round(people.scores, 2).tolist(), strict=True))

    nobody = math.inf
    assert [each for _, each in found(0.5, nobody, nobody)] == [pytest.approx(0.9)]
    everyone = found(0.3, 0.5, nobody)
    assert [box for box, _ in everyone] == [A, near, B, C]
    assert [each for _, each in everyone] == pytest.approx([0.9, 0.85, 0.6, 0.4])
    assert found(0.3, 0.5, nobody, keep="2") == everyone[:2]
    assert found(nobody, nobody, nobody) == []


# As an L: all of the left half, and of the right half what is below the middle.
CONCAVE = [[0, 0], [50, 0], [50, 40], [100, 40], [100, 80], [0, 80]]
CROSSING = [[0, 0], [100, 80], [100, 0], [0, 80]]


@pytest.mark.parametrize(
    ("box", "region", "inside"),
    [
        # Where the feet are counts, not the head.
        ([60, 10, 80, 60], CONCAVE, True),
        ([60, 10, 80, 30], CONCAVE, False),
        ([20, 10, 40, 30], CONCAVE, True),
        # On edges, which belong to the region.
        ([60, 10, 80, 40], CONCAVE, True),
        ([45, 10, 55, 30], CONCAVE, True),
        ([45.5, 10, 55, 30], CONCAVE, False),
        # Closed, and in the other direction.
        ([60, 10, 80, 60], [*CONCAVE, CONCAVE[0]], True),
        ([60, 10, 80, 30], CONCAVE[::-1], False),
        # Even-odd.
        ([10, 10, 20, 40], CROSSING, True),
        ([45, 10, 55, 20], CROSSING, False),
        # Cut off by the border of an image of 100x80, or beyond it, under a region up to there.
        ([10, 10, 30, 80], [[0, 0], [99, 0], [99, 79], [0, 79]], True),
        ([90, 10, 300, 400], [[0, 0], [99, 0], [99, 79], [0, 79]], True),
        ([-90, 10, -20, 40], [[0, 0], [99, 0], [99, 79], [0, 79]], True),
        ([10, 10, 30, 80], [[-900, -900], [900, -900], [900, 900], [-900, 900]], True),
        ([10, 10, 30, 50], [[200, 0], [300, 0], [300, 80]], False),
    ],
)
def test_people_stand_where_their_box_ends(box: list, region: list, inside: bool) -> None:
    people = Detections(np.array([box, box], np.float32), np.array([0.9, 0.8], np.float32))
    found = people_inside(people, np.array(region, np.float32), (100, 80))
    assert found.boxes.tolist() == (people.boxes.tolist() if inside else [])
    assert found.scores.tolist() == (people.scores.tolist() if inside else [])
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.boxes.shape == (len(found.scores), 4)


def test_nobody_in_a_region() -> None:
    nobody = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    found = people_inside(nobody, np.array(CONCAVE, np.float32), (100, 80))
    assert (found.boxes.shape, found.scores.shape) == ((0, 4), (0,))
