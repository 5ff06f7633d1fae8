"""Who of a frame continues which track."""

import numpy as np

from tritonpose.tracking import TrackingSettings
from tritonpose.tracking.association import sigmas_of
from tritonpose.tracking.matching import Matching
from tritonpose.tracking.tracks import Track
from tritonpose_pipeline.keypoint_schema import default_schema

SETTINGS = TrackingSettings()
SIGMAS = sigmas_of(default_schema(17))
RANDOM = np.random.default_rng(1)
# Two people of 100 x 200 pixels with other poses, relative to the middle.
POSES = [
    np.column_stack([RANDOM.uniform([-40, -95], [40, 95], (17, 2)), np.full(17, 0.9)]) for _ in "ab"
]
# The colors of six limbs: one is dressed in blue, one in red.
COLORS = np.zeros((2, 6, 4))
COLORS[0, :, 0] = COLORS[1, :, 2] = 200
COLORS[..., 3] = 1


def box_at(x: float, width: float = 100) -> np.ndarray:
    return np.array([x - width / 2, 100, x + width / 2, 300])


def pose_at(person: int, x: float) -> np.ndarray:
    return POSES[person] + [x, 200, 0]


def tracks(*places: float) -> list[Track]:
    """Tracks of the two people, who were seen now."""
    made = [
        Track.begin(person, box_at(x), pose_at(person, x), 0.9, COLORS[person], 0.0, SETTINGS)
        for person, x in enumerate(places)
    ]
    for number, track in enumerate(made):
        track.id = number
    return made


def match(
    made: list[Track],
    *found: tuple[np.ndarray, np.ndarray, float],
    colors: np.ndarray | None = None,
) -> Matching:
    boxes, keypoints, scores = (np.array(each) for each in zip(*found, strict=True))
    seen = np.zeros((len(found), 6, 4)) if colors is None else colors
    return Matching(made, boxes, keypoints, scores, SIGMAS, seen, SETTINGS)


def ids(matching: Matching) -> dict[int, int | None]:
    return {row: track.id for row, track in matching.track_of.items()}


def test_poses_tell_apart_who_overlaps() -> None:
    """Each box fits the other one better."""
    made = tracks(200, 230)
    found = [(box_at(226), pose_at(0, 206), 0.9), (box_at(204), pose_at(1, 224), 0.9)]
    matching = match(made, *found)
    assert matching.crowded == set(made)
    assert ids(matching) == {0: 0, 1: 1}


def test_a_box_around_two_people_is_of_the_one_whose_pose_it_has() -> None:
    for person in (0, 1):
        made = tracks(200, 230)
        found = (box_at(215, 130), pose_at(person, (200, 230)[person]), 0.9)
        assert ids(match(made, found)) == {0: person}


def test_a_second_detection_of_somebody_is_nobody() -> None:
    made = tracks(200)
    found = [(box_at(204, 120), pose_at(0, 201), 0.8), (box_at(200), pose_at(0, 200), 0.9)]
    matching = match(made, *found)
    assert matching.doubles == {0}
    assert ids(matching) == {1: 0}


def test_weak_detections_continue_only_what_they_resemble() -> None:
    part = (np.array([190, 100, 240, 160]), np.zeros((17, 3)), 0.4)
    assert ids(match(tracks(200), part)) == {}
    assert ids(match(tracks(200), (box_at(205), pose_at(0, 205), 0.4))) == {0: 0}


def test_colors_tell_who_comes_out_of_a_crowd() -> None:
    """They stood before each other, and go on with one pose; each may be either by place."""
    for first in (0, 1):
        made = tracks(200, 215)
        made[1].offsets = made[0].offsets
        found = [(box_at(x), pose_at(0, x), 0.9) for x in (185, 230)]
        colors = COLORS[[first, 1 - first]]
        assert ids(match(made, *found, colors=colors)) == {0: first, 1: 1 - first}


def test_another_pose_in_a_crowd_is_not_taken_over() -> None:
    (track,) = tracks(200)
    others = pose_at(1, 200)
    track.see(box_at(200), others, 0.9, COLORS[1], 0.1, doubted=True)
    np.testing.assert_array_equal(track.keypoints, others)
    own = np.linalg.norm(track.expected[:, :2] - pose_at(0, 200)[:, :2], axis=1)
    assert np.median(own) < np.median(np.linalg.norm((POSES[0] - POSES[1])[:, :2], axis=1)) / 2
    np.testing.assert_array_equal(track.colors, COLORS[0])


def test_after_a_cut_only_the_same_pose_in_place_is_the_same_person() -> None:
    for found, expected in ((pose_at(0, 202), {0: 0}), (pose_at(1, 202), {})):
        (made,) = tracks(200)
        made.cut = made.lost = True
        assert ids(match([made], (box_at(202), found, 0.9))) == expected


def test_who_was_lost_is_found_again_nearby() -> None:
    for x, found in ((320, {0: 0}), (600, {})):
        for lost in (True, False):
            made = tracks(200)
            made[0].lost = lost
            assert ids(match(made, (box_at(x), pose_at(0, x), 0.9))) == (found if lost else {})


def test_another_size_is_another_person() -> None:
    made = tracks(200)
    made[0].lost = True
    small = (np.array([300, 100, 340, 180]), pose_at(0, 320), 0.9)
    assert ids(match(made, small)) == {}


def test_joints_tell_the_place_where_a_box_grows() -> None:
    """Somebody stands; the box begins to hold a neighbor as well."""
    (track,) = tracks(200)
    for step in range(1, 6):
        track.motion.advance(0.1, lost=False)
        track.see(
            box_at(200 + 8 * step, 100 + 16 * step),
            pose_at(0, 200),
            0.9,
            COLORS[0],
            0.1 * step,
            doubted=True,
        )
    np.testing.assert_allclose(track.motion.box, box_at(200), atol=0.5)


def test_nobody_continues_nothing() -> None:
    empty = (np.zeros((0, 4)), np.zeros((0, 17, 3)), np.zeros(0))
    matching = Matching(tracks(200), *empty, SIGMAS, np.zeros((0, 6, 4)), SETTINGS)
    assert matching.track_of == {}
