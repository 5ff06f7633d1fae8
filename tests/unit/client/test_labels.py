"""Boxes, numbers and scores, on request."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tritonpose import KeypointResult
from tritonpose.drawing.labels import draw_labels, person_color
from tritonpose.transport.messages import PoseResponse

SIZES = [(60, 80), (480, 640), (2160, 3840)]
GRAY = 90


def person(box: tuple[float, ...], score: float = 0.876) -> dict[str, Any]:
    """A person without keypoints worth drawing."""
    return {
        "coordinate": [np.float32(value) for value in box],
        "det_score": score,
        "keypoints": np.zeros((17, 3), np.float32),
        "kpt_score": np.float32(0),
    }


def draw(size: tuple[int, int], people: list[dict[str, Any]], **options: bool) -> np.ndarray:
    """What `render` draws on a gray image; BGR."""
    image = np.full((*size, 3), GRAY, np.uint8)
    rendered = np.asarray(KeypointResult(None, image, people).render(**options))
    return rendered[..., ::-1]


def in_the_middle(size: tuple[int, int]) -> tuple[float, ...]:
    height, width = size
    return width * 0.25, height * 0.4, width * 0.75, height * 0.9


@pytest.mark.parametrize("size", SIZES)
def test_boxes_enclose_people(size: tuple[int, int]) -> None:
    box = in_the_middle(size)
    drawn = draw(size, [person(box)], boxes=True)
    ys, xs = np.nonzero((drawn == person_color(0)).all(axis=2))
    width = max(1, round(size[0] / 300))
    assert np.abs([xs.min() - box[0], xs.max() - box[2]]).max() <= width / 2 + 1
    assert np.abs([ys.min() - box[1], ys.max() - box[3]]).max() <= width / 2 + 1
    center = drawn[int(size[0] * 0.65), size[1] // 2]
    assert (center == GRAY).all()


def label_rows(drawn: np.ndarray) -> np.ndarray:
    return np.flatnonzero((drawn != GRAY).any(axis=(1, 2)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "options", [{"scores": True}, {"ids": True}, {"scores": True, "ids": True}]
)
def test_labels_grow_with_the_image_and_stand_on_the_box(
    size: tuple[int, int], options: dict[str, bool]
) -> None:
    box = in_the_middle(size)
    rows = label_rows(draw(size, [person(box)], **options))
    height = rows.max() - rows.min()
    assert max(12, size[0] / 45) < height < max(20, size[0] / 20)
    assert abs(rows.max() - box[1]) <= 2


@pytest.mark.parametrize("box", [(-9, -9, 200, 90), (600, 0, 640, 200), (639, 479, 640, 480)])
def test_labels_stay_within_the_image(box: tuple[float, ...]) -> None:
    whole = draw((480, 640), [person((300, 200, 400, 300))], scores=True, ids=True)
    drawn = draw((480, 640), [person(box)], scores=True, ids=True)
    assert (drawn != GRAY).sum() == (whole != GRAY).sum()


def test_labels_say_index_and_score() -> None:
    def area(people: list[dict[str, Any]], **options: bool) -> int:
        canvas = np.zeros((480, 640, 3), np.uint8)
        arrays = PoseResponse.from_paddlex(people)
        draw_labels(canvas, arrays, boxes=False, **{"scores": False, "ids": False, **options})
        return int(canvas.any(axis=2).sum())

    one = [person((300, 200, 400, 300))]
    assert area(one) == 0
    assert area(one, ids=True) < area(one, scores=True) < area(one, scores=True, ids=True)
    # The same text has the same picture; another text another.
    assert (draw((99, 99), one, scores=True) == draw((99, 99), one, scores=True)).all()
    other = [person((300, 200, 400, 300), score=0.123)]
    assert (draw((480, 640), one, scores=True) != draw((480, 640), other, scores=True)).any()


def test_people_have_colors_of_their_own() -> None:
    colors = {person_color(index) for index in range(50)}
    assert len(colors) == 50
    box = in_the_middle((480, 640))
    second = draw((480, 640), [person((0, 0, 9, 9)), person(box)], boxes=True)
    assert (second[int(box[1]), 320] == person_color(1)).all()


def test_the_surest_person_is_labelled_on_top() -> None:
    box = in_the_middle((480, 640))
    both = draw((480, 640), [person(box, 0.9), person(box, 0.6)], scores=True)
    np.testing.assert_array_equal(both, draw((480, 640), [person(box, 0.9)], scores=True))


def test_saved_with_labels(tmp_path: Path) -> None:
    people = [person(in_the_middle((480, 640)))]
    result = KeypointResult("a.png", np.full((480, 640, 3), GRAY, np.uint8), people)
    result.save_to_img(tmp_path, boxes=True, scores=True, ids=True)
    expected = draw((480, 640), people, boxes=True, scores=True, ids=True)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a_res.png")), expected)
    result.save_to_img(tmp_path)
    assert (cv2.imread(str(tmp_path / "a_res.png")) == GRAY).all()
