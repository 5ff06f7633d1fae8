"""Another scene has other people."""

import numpy as np
import pytest

from tritonpose import KeypointResult
from tritonpose.tracking import Tracker
from tritonpose.tracking.cuts import SceneCuts
from tritonpose.transport.messages import PoseResponse

RANDOM = np.random.default_rng(2)
POSES = RANDOM.uniform(0, 1, (4, 17, 2))
# Two scenes of blocks of 20 pixels.
SCENES = [
    np.kron(RANDOM.integers(0, 255, (12, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    for _ in "ab"
]


def seen(*people: tuple[int, float], image: np.ndarray | bytes | None = None) -> KeypointResult:
    """People of 50 x 100 pixels, by pose and horizontal place."""
    boxes = np.array([[x, 50, x + 50, 150] for _, x in people], np.float32).reshape(-1, 4)
    poses = [
        np.column_stack([POSES[one] * (50, 100) + (x, 50), np.full(17, 0.9)]) for one, x in people
    ]
    keypoints = np.array(poses, np.float32).reshape(-1, 17, 3)
    scores = np.full(len(people), 0.9, np.float32)
    return KeypointResult("clip.mp4", image, PoseResponse(boxes, scores, keypoints, scores))


def ids(*frames: KeypointResult, cut: bool | None = None) -> list[tuple[int | None, ...]]:
    tracker = Tracker()
    return [tracker.update(one, n / 10, cut=cut).track_ids for n, one in enumerate(frames)]


BEFORE, AFTER = ((0, 100), (1, 200)), ((2, 104), (3, 205))


@pytest.mark.parametrize("images", [SCENES, [b"", b""], [None, None]], ids=["pixels", "file", ""])
def test_numbers_do_not_pass_to_the_people_of_another_scene(images: list[np.ndarray]) -> None:
    before, after = seen(*BEFORE, image=images[0]), seen(*AFTER, image=images[1])
    assert ids(before, before, after, after) == [(1, 2)] * 2 + [(3, 4)] * 2


def test_one_person_is_told_from_another_by_pixels_or_by_the_caller() -> None:
    before, after = (seen((n, 100), image=image) for n, image in enumerate(SCENES))
    assert ids(before, after) == [(1,), (2,)]
    assert ids(before, before, cut=True) == [(1,), (1,)]


def test_who_is_there_after_a_damaged_frame_is_the_same() -> None:
    good, gray = seen(*BEFORE, image=SCENES[0]), seen(image=np.full_like(SCENES[0], 128))
    assert ids(good, gray, good) == [(1, 2), (), (1, 2)]


def test_light_noise_and_movement_are_no_cuts() -> None:
    scene = SCENES[0]
    dark = np.full_like(scene, 9)
    for other in (scene // 3, np.roll(scene, 4, axis=1), np.where(scene < 40, scene, scene - 9)):
        cuts = SceneCuts()
        assert [cuts.sees(image) for image in (scene, other, scene)] == [False] * 3
    cuts = SceneCuts()
    noisy = [dark + RANDOM.integers(0, 9, dark.shape, np.uint8) for _ in "abc"]
    assert [cuts.sees(image) for image in noisy] == [False] * 3
    assert [cuts.sees(image) for image in (scene, SCENES[1], SCENES[1])] == [True, True, False]


def test_a_person_of_whom_one_pose_goes_wrong_keeps_the_number() -> None:
    """Without pixels, only several people say that there is another scene."""
    assert ids(seen((0, 100)), seen((2, 103))) == [(1,), (1,)]
