"""Ids and trails on frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from poses import tracked_result
from tritonpose import InputError, KeypointResult
from tritonpose.drawing.labels import person_color
from tritonpose.drawing.trails import Trails
from tritonpose.tracking import TrackedResult


def box_at(x: float, y: float) -> np.ndarray:
    return np.array([[x - 10, y - 20, x + 10, y + 20]], np.float32)


def drawn(
    trails: Trails, time: float, x: float, y: float = 100, number: int | None = 4, source: int = 0
) -> np.ndarray:
    canvas = np.zeros((200, 300, 3), np.uint8)
    trails.draw(canvas, source, time, [number], box_at(x, y))
    return canvas


def columns(canvas: np.ndarray) -> tuple[int, int]:
    """The first and the last column with anything drawn."""
    found = np.flatnonzero(canvas.any(axis=(0, 2)))
    return int(found[0]), int(found[-1])


def test_a_trail_follows_in_the_color_of_its_id() -> None:
    trails = Trails(seconds=1)
    assert not drawn(trails, 0, 50).any()
    for step in range(1, 5):
        canvas = drawn(trails, step / 4, 50 + 40 * step)
    first, last = columns(canvas)
    assert abs(first - 50) <= 3
    assert abs(last - 210) <= 3
    assert canvas[100, 205].tolist() == list(person_color(4))
    canvas = drawn(trails, 1.5, 250)
    assert abs(columns(canvas)[0] - 130) <= 3


def test_a_trail_ends_with_its_person() -> None:
    trails = Trails(seconds=1)
    drawn(trails, 0, 50)
    drawn(trails, 0.5, 90)
    assert not drawn(trails, 2, 200).any()
    assert not drawn(trails, 2.1, 100, number=5).any()


def test_who_has_no_id_leaves_no_trail() -> None:
    trails = Trails()
    drawn(trails, 0, 50, number=None)
    assert not drawn(trails, 0.1, 150, number=None).any()


def test_sources_have_trails_of_their_own() -> None:
    trails = Trails()
    drawn(trails, 0, 50, source=0)
    assert not drawn(trails, 0.1, 250, source=1).any()
    assert columns(drawn(trails, 0.1, 100, source=0))[1] < 110


def test_a_frame_drawn_again_and_a_source_that_begins_anew() -> None:
    trails = Trails()
    drawn(trails, 0, 50)
    once = drawn(trails, 0.1, 100)
    np.testing.assert_array_equal(drawn(trails, 0.1, 100), once)
    assert not drawn(trails, 0, 250).any()


@pytest.mark.parametrize("far", [1e9, -1e9, 40_000])
def test_people_far_outside(far: float) -> None:
    trails = Trails()
    drawn(trails, 0, 50)
    assert drawn(trails, 0.1, far).any()


def test_results_show_ids_in_stable_colors(tmp_path: Path) -> None:
    """Whatever their order in the frame."""
    first, second = tracked_result([3, 8]), tracked_result([8, 3, None])
    for result in (first, second):
        shown = result.draw(boxes=True, ids=False)
        for box, number in zip(result.arrays.boxes, result.track_ids, strict=True):
            corner = np.round(box[:2]).astype(int)
            x, y = np.minimum(corner, (639, 479))
            assert shown[y, x].tolist() in [list(person_color(n)) for n in result.track_ids]
            assert list(person_color(number)) in shown[y].tolist()
    plain = KeypointResult("a.png", first["input_img"], first.arrays)
    assert (first.draw() != np.asarray(plain.render())[..., ::-1]).any()
    np.testing.assert_array_equal(first.draw(ids=False), np.asarray(plain.render())[..., ::-1])
    first.save_to_img(tmp_path / "a.png")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png")), first.draw())
    np.testing.assert_array_equal(np.asarray(first.img["res"])[..., ::-1], first.draw())


def test_trails_of_results() -> None:
    trails = Trails()
    one, two = tracked_result([1, 2], 0), tracked_result([1, 2], 1)
    np.testing.assert_array_equal(one.draw(trails=trails), one.draw())
    assert (two.draw(trails=trails) != two.draw()).any()


def test_errors_can_not_be_drawn() -> None:
    failed = TrackedResult(KeypointResult("x", error=InputError("damaged")), None, (), 0, "x")
    with pytest.raises(InputError, match="damaged"):
        failed.draw()
