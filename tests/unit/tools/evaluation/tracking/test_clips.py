"""Clips with exact truth, of people who are plain rectangles."""

from __future__ import annotations

import numpy as np
import pytest

from tools.evaluation.tracking.clips import Actor, Clip, Place
from tools.evaluation.tracking.cutouts import Cutout
from tools.evaluation.tracking.scenes import CROSSING, STILL, Cast, all_clips, few_clips
from tritonpose_pipeline.keypoint_schema import default_schema

GRAY = np.full((40, 60, 3), 90, np.uint8)


def person(level: int) -> Cutout:
    """A rectangle of 20 x 60 pixels of one gray, in a picture of 30 x 70."""
    image = np.full((70, 30, 3), level, np.uint8)
    opacity = np.zeros((70, 30), np.float32)
    opacity[5:65, 5:25] = 1
    outline = np.array([[5, 5], [24, 5], [24, 64], [5, 64]], float)
    keypoints = np.column_stack([np.linspace(6, 23, 17), np.linspace(6, 63, 17), np.ones(17)])
    return Cutout(image, opacity, outline, keypoints)


def clip(*places: Place | None, **options: object) -> Clip:
    """One frame with people at places; the first is the darkest and at the back."""
    actors = [
        Actor(person(60 * (number + 2)), lambda _, place=place: place)
        for number, place in enumerate(places)
    ]
    arguments: dict[str, object] = {
        "name": "a",
        "kind": CROSSING,
        "rate": 10,
        "seconds": 0.1,
        "backgrounds": (GRAY,),
        "actors": actors,
        "quality": 100,
        "noise": 0.0,
        **options,
    }
    return Clip(**arguments)  # type: ignore[arg-type]


def test_truth_is_where_people_are_drawn() -> None:
    ((image, people),) = clip(Place(200, 300, 118)).frames()
    (one,) = people
    np.testing.assert_allclose(one.box, [181, 182, 219, 300], atol=1)
    x1, y1, x2, y2 = one.box.round().astype(int)
    assert abs(image[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].astype(int) - 120).max() < 12
    outside = image.copy()
    outside[y1 - 3 : y2 + 3, x1 - 3 : x2 + 3] = 90
    assert abs(outside.astype(int) - 90).max() < 8
    assert one.seen == pytest.approx(1, abs=0.02)
    assert (one.keypoints[:, :2] >= one.box[:2]).all()
    assert (one.keypoints[:, :2] <= one.box[2:]).all()


def test_who_is_behind_is_seen_in_part() -> None:
    ((_, people),) = clip(Place(200, 300, 118), Place(219, 300, 118)).frames()
    back, front = people
    assert (back.identity, front.identity) == (0, 1)
    assert front.seen == pytest.approx(1, abs=0.02)
    assert back.seen == pytest.approx(0.5, abs=0.05)


def test_who_is_hidden_or_gone_is_no_truth() -> None:
    ((_, people),) = clip(Place(200, 300, 118), Place(202, 300, 118), None).frames()
    assert [one.identity for one in people] == [1]
    ((_, people),) = clip(Place(-20, 300, 118)).frames()
    assert people == []


def test_who_leaves_is_cut_by_the_rim() -> None:
    ((_, (one,)),) = clip(Place(5, 300, 118)).frames()
    assert one.box[0] == 0
    assert 0.5 < one.seen < 0.75


def test_truth_follows_the_camera() -> None:
    double = np.diag([2.0, 2.0, 1.0])
    ((_, (rest,)),) = clip(Place(100, 150, 59)).frames()
    ((image, (moved,)),) = clip(Place(100, 150, 59), camera=lambda _: double).frames()
    np.testing.assert_allclose(moved.box, 2 * rest.box)
    np.testing.assert_allclose(moved.keypoints[:, :2], 2 * rest.keypoints[:, :2])
    x, y = ((moved.box[:2] + moved.box[2:]) / 2).astype(int)
    assert abs(image[y, x].astype(int) - 120).max() < 12


def test_a_tilt_keeps_the_feet() -> None:
    ((_, (one,)),) = clip(Place(200, 300, 118, tilt=90)).frames()
    np.testing.assert_allclose(one.box, [200, 281, 318, 319], atol=2)


def test_a_cut_shows_another_background() -> None:
    grounds = (GRAY, np.full_like(GRAY, 200))
    cut = clip(seconds=0.4, backgrounds=grounds, cut=0.2)
    assert [round(float(image.mean()), -1) for image, _ in cut.frames()] == [90, 90, 200, 200]


def test_clips_are_the_same_each_time() -> None:
    first, second = ([image for image, _ in clip(noise=5.0).frames()] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first[0].std() > 2


def test_a_mirror_turns_people_and_their_joints() -> None:
    schema = default_schema(17)
    one = person(100)
    mirrored = one.mirrored(schema)
    assert mirrored.keypoints[schema.names.index("left_eye"), 0] == pytest.approx(
        29 - one.keypoints[schema.names.index("right_eye"), 0]
    )
    again = mirrored.mirrored(schema)
    np.testing.assert_allclose(again.keypoints, one.keypoints)
    np.testing.assert_array_equal(again.image, one.image)


def test_all_clips_have_names_of_their_own_and_people() -> None:
    cast = Cast([person(100), person(150)], [GRAY])
    clips = all_clips(cast)
    names = [each.name for each in clips]
    assert len(set(names)) == len(names)
    for each in clips:
        assert any(actor.place(0.0) is not None for actor in each.actors), each.name
        assert 2 <= len(each.actors) <= 4
    assert {each.kind for each in few_clips(cast)} == {CROSSING, STILL, "moving", "jump"}


def test_crossings_cross() -> None:
    """Some two people change sides, or meet; and one covers the other at some time."""
    cast = Cast([person(100), person(150)], [GRAY])
    for each in all_clips(cast):
        if each.kind != CROSSING:
            continue
        apart = [
            min(
                abs(one.x - other.x)
                for number, one in enumerate(places)
                for other in places[number + 1 :]
            )
            for time in each.times
            if len(places := [p for actor in each.actors if (p := actor.place(time))]) > 1
        ]
        assert min(apart) < 50 < max(apart), each.name
