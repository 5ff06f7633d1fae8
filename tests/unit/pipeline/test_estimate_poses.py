"""The stages together, around models that find colored dots in what they are shown."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import cv2
import numpy as np
import pytest

from composing_models import detector_network, keypoint_network, pose_options
from tritonpose_pipeline.detection import Detections
from tritonpose_pipeline.errors import DamagedImageError, ModelFailedError
from tritonpose_pipeline.image import check_file
from tritonpose_pipeline.photo import Photo
from tritonpose_pipeline.pipeline import Poses, estimate_poses

IMAGE_SIZE = (320, 240)
SCALE = 0.4  # of the detector's input, 128x96, to the image
LEFT = [1, 3, 5, 7, 9, 11, 13, 15]
RIGHT = [2, 4, 6, 8, 10, 12, 14, 16]

# Boxes of five people, best first, in image pixels; crops of 3:4 need no growing.
BOXES = np.array(
    [[20, 30, 80, 110], [110, 30, 170, 110], [200, 20, 290, 140], [15, 130, 75, 210],
     [120, 125, 195, 225]], np.float32
)  # fmt: skip
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.55], np.float32)


def dots(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A person's right and left joints: seen from the front, left joints are on the right."""
    corner, size = box[:2], box[2:] - box[:2]
    return (corner + size * [0.2, 0.3]).round(), (corner + size * [0.75, 0.6]).round()


def scene() -> np.ndarray:
    """An image, BGR, with two yellow dots (no blue) per person."""
    y, x = np.mgrid[: IMAGE_SIZE[1], : IMAGE_SIZE[0]]
    image = np.zeros((IMAGE_SIZE[1], IMAGE_SIZE[0], 3))
    for box in BOXES:
        for dot in dots(box):
            bump = np.exp(-((x - dot[0]) ** 2 + (y - dot[1]) ** 2) / (2 * 3.0**2))
            image += bump[..., None] * [0, 200, 250]
    return image.round().astype(np.uint8)


def centroid(weights: np.ndarray, from_column: int, to_column: int) -> np.ndarray:
    part = weights[:, from_column:to_column].astype(float)
    y, x = np.mgrid[: part.shape[0], from_column:to_column]
    return np.array([(part * x).sum(), (part * y).sum()]) / part.sum()


class DotModels:
    """Stand-ins for both models; they record what they are shown.

    The detector finds given boxes. The keypoint model takes the dot on the left half of a
    crop for the right joints, the one on the right half for the left joints, and puts the nose
    between them, as a model that looks at people from the front does.
    """

    def __init__(self, boxes: np.ndarray = BOXES, scores: np.ndarray = SCORES) -> None:
        self._boxes, self._scores = boxes, scores
        self.detector_inputs: list[np.ndarray] = []
        self.crops: list[np.ndarray] = []

    def __call__(
        self, model: str, images: np.ndarray, outputs: tuple[str, ...]
    ) -> list[np.ndarray]:
        assert images.dtype == np.uint8
        if model == "detector":
            assert outputs == ("boxes", "scores")
            self.detector_inputs.append(images)
            order = np.random.default_rng(0).permutation(len(self._boxes))
            boxes = (self._boxes * SCALE).reshape(1, -1, 4)
            return [boxes[:, order], self._scores[None][:, order]]
        assert (model, outputs) == ("keypoint", ("heatmap",))
        self.crops.append(images.copy())
        return [np.array([self._heatmaps(crop) for crop in images], np.float32)]

    def _heatmaps(self, crop: np.ndarray) -> np.ndarray:
        height, width = crop.shape[:2]
        on_left = centroid(crop[..., 0], 0, width // 2)
        on_right = centroid(crop[..., 0], width // 2, width)
        heatmaps = np.zeros((17, height // 4, width // 4), np.float32)
        y, x = np.mgrid[: height // 4, : width // 4]
        for joints, spot, peak in (
            ([0], (on_left + on_right) / 2, 0.3),
            (RIGHT, on_left, 0.6),
            (LEFT, on_right, 0.9),
        ):
            bump = np.exp(-((x - spot[0] / 4) ** 2 + (y - spot[1] / 4) ** 2) / (2 * 1.5**2))
            heatmaps[joints] = peak * bump
        return heatmaps


def estimate(
    models: Callable[..., list], max_batch_size: int = 8, flip_shift: str = "true", **choices: bool
) -> Poses:
    options = pose_options(
        detector_network(96, 128),
        keypoint_network(128, 96, max_batch_size, flip_shift=flip_shift),
        **choices,
    )
    return estimate_poses(Photo(scene()), options, models)


def expected_joints(box: np.ndarray) -> np.ndarray:
    right, left = dots(box)
    joints = np.zeros((17, 2))
    joints[0], joints[RIGHT], joints[LEFT] = (right + left) / 2, right, left
    return joints


def test_joints_come_back_where_the_dots_are() -> None:
    poses = estimate(DotModels())
    np.testing.assert_allclose(poses.boxes, BOXES, atol=1e-3)
    np.testing.assert_array_equal(poses.det_scores, SCORES)
    assert poses.keypoints.shape == (5, 17, 3)
    for box, keypoints in zip(BOXES, poses.keypoints, strict=True):
        np.testing.assert_allclose(keypoints[:, :2], expected_joints(box), atol=0.3)
    assert all(array.dtype == np.float32 for array in poses[:4])
    for joints, peak in (([0], 0.3), (RIGHT, 0.6), (LEFT, 0.9)):
        np.testing.assert_allclose(poses.keypoints[:, joints, 2], peak, rtol=0.1)
    means = [sum(person[:, 2].tolist()) / 17 for person in poses.keypoints]
    np.testing.assert_allclose(poses.kpt_scores, means, rtol=1e-6)


@pytest.mark.parametrize(("flip_shift", "offset"), [("true", 0.125), ("false", -0.375)])
def test_flip_gives_left_and_right_back_to_their_sides(flip_shift: str, offset: float) -> None:
    """The mirrored crop's heatmaps lie 1/4 - 1 cells aside, a shift of 1 leaves 1/4."""
    poses = estimate(DotModels(), flip=True, flip_shift=flip_shift)
    for box, keypoints in zip(BOXES, poses.keypoints, strict=True):
        cell = 1.25 * (box[2] - box[0]) / 24
        expected = expected_joints(box) + np.array([offset * cell, 0])
        np.testing.assert_allclose(keypoints[:, :2], expected, atol=0.12 * cell)


def test_with_udp_the_crop_spans_one_pixel_less() -> None:
    """PaddleX crops with UDP, but maps back without: points move towards the top left."""
    poses = estimate(DotModels(), use_udp=True)
    for box, keypoints in zip(BOXES, poses.keypoints, strict=True):
        size = 1.25 * (box[2:] - box[:2])
        corner = (box[:2] + box[2:]) / 2 - size / 2
        share = (expected_joints(box) - corner) / size
        expected = corner + size * share * [95 / 96, 127 / 128]
        np.testing.assert_allclose(keypoints[:, :2], expected, atol=0.3)


@pytest.mark.parametrize(("use_udp", "span"), [(False, (96, 128)), (True, (95, 127))])
def test_what_the_keypoint_model_is_shown(use_udp: bool, span: tuple) -> None:
    models = DotModels()
    estimate(models, use_udp=use_udp)
    (crops,) = models.crops
    assert crops.shape == (5, 128, 96, 3)
    assert (crops[..., 0] >= crops[..., 1]).all()  # red, of the scene's 250 to 200
    assert crops[..., 0].max() > 200
    assert not crops[..., 2].any()  # no blue
    for box, crop in zip(BOXES, crops, strict=True):
        size = 1.25 * (box[2:] - box[:2])
        corner = (box[:2] + box[2:]) / 2 - size / 2
        right, left = ((dot - corner) / size * span for dot in dots(box))
        np.testing.assert_allclose(centroid(crop[..., 0], 0, 48), right, atol=0.25)
        np.testing.assert_allclose(centroid(crop[..., 0], 48, 96), left, atol=0.25)


def test_what_the_detector_is_shown() -> None:
    models = DotModels()
    estimate(models)
    (images,) = models.detector_inputs
    assert images.shape == (1, 96, 128, 3)
    assert images[..., 0].max() > images[..., 1].max() > 150
    assert not images[..., 2].any()


@pytest.mark.parametrize(
    ("max_batch_size", "flip", "batches"),
    [
        (2, False, [2, 2, 1]),
        (2, True, [2, 2, 2, 2, 2]),
        (1, False, [1] * 5),
        (3, True, [3, 3, 3, 1]),
        (5, False, [5]),
        (8, False, [5]),
        (8, True, [8, 2]),
        (16, True, [10]),
    ],
)
def test_crops_are_sent_in_batches_and_results_stay_in_order(
    max_batch_size: int, flip: bool, batches: list
) -> None:
    models = DotModels()
    poses = estimate(models, max_batch_size, flip=flip)
    assert [len(crops) for crops in models.crops] == batches
    at_once = estimate(DotModels(), 99, flip=flip)
    for name, value in poses._asdict().items():
        np.testing.assert_array_equal(value, getattr(at_once, name))
    if flip:
        crops = np.concatenate(models.crops)
        np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [
        (BOXES, np.full(5, 0.5, np.float32)),  # not above the threshold
        (BOXES[:0], SCORES[:0]),
        (BOXES + 1000, SCORES),  # beyond the image
    ],
)
def test_when_nobody_is_found_the_keypoint_model_is_not_called(
    boxes: np.ndarray, scores: np.ndarray
) -> None:
    models = DotModels(boxes, scores)
    poses = estimate(models, flip=True)
    assert len(models.detector_inputs) == 1
    assert models.crops == []
    shapes = [array.shape for array in poses]
    assert shapes == [(0, 4), (0,), (0, 17, 3), (0,), (1,), (1,)]
    assert all(array.dtype == np.float32 for array in poses[:4])
    assert poses.truncated.tolist() == [False]


def test_people_outside_of_the_region_are_not_estimated() -> None:
    everyone = estimate(DotModels())
    options = pose_options(detector_network(96, 128), keypoint_network(128, 96))
    region = np.array([[0, 0], [320, 0], [320, 150], [0, 150]], np.float32)
    models = DotModels()
    poses = estimate_poses(Photo(scene()), options, models, region=region)
    # The other two stand lower.
    assert sum(map(len, models.crops)) == 3
    np.testing.assert_array_equal(poses.boxes, everyone.boxes[:3])
    assert not poses.truncated[0]
    given = Detections(BOXES[[3, 0]], np.array([1.0, 0.25], np.float32))
    kept = estimate_poses(Photo(scene()), options, DotModels(), given=given, region=region)
    np.testing.assert_array_equal(kept.boxes, BOXES[[0]])
    # Of the people in it, the best are kept.
    below = np.array([[0, 151], [320, 151], [320, 240], [0, 240]], np.float32)
    best = estimate_poses(Photo(scene()), options, DotModels(), region=below, max_persons=1)
    np.testing.assert_array_equal(best.det_scores, SCORES[[3]])
    assert best.truncated[0]
    models = DotModels()
    beside = np.array([[900, 0], [999, 0], [999, 9]], np.float32)
    nobody = estimate_poses(Photo(scene()), options, models, region=beside)
    assert (nobody.keypoints.shape, models.crops) == ((0, 17, 3), [])


def test_given_persons_are_not_detected() -> None:
    models, nobody = DotModels(), Detections(BOXES[:0], SCORES[:0])
    assert estimate_poses(Photo(scene()), pose_options(), models, given=nobody).keypoints.size == 0
    assert models.detector_inputs == models.crops == []
    given = Detections(BOXES[[3, 0]], np.array([1.0, 0.25], np.float32))
    options = pose_options(detector_network(96, 128), keypoint_network(128, 96), threshold=0.5)
    poses = estimate_poses(Photo(scene()), options, models, given=given)
    assert models.detector_inputs == []
    np.testing.assert_array_equal(poses.boxes, given.boxes)
    np.testing.assert_array_equal(poses.det_scores, given.scores)
    for box, keypoints in zip(given.boxes, poses.keypoints, strict=True):
        np.testing.assert_allclose(keypoints[:, :2], expected_joints(box), atol=0.3)


@pytest.mark.parametrize(("max_persons", "kept"), [(None, 5), (6, 5), (5, 5), (4, 4), (1, 1)])
def test_of_too_many_persons_the_best_are_kept(max_persons: int | None, kept: int) -> None:
    models = DotModels()
    options = pose_options(detector_network(96, 128), keypoint_network(128, 96), threshold=0.0)
    everybody = estimate_poses(Photo(scene()), options, models)
    poses = estimate_poses(Photo(scene()), options, models, max_persons=max_persons)
    for all_values, values in zip(everybody[:4], poses[:4], strict=True):
        np.testing.assert_array_equal(values, all_values[:kept])
    assert len(models.crops[1]) == kept
    assert poses.truncated.tolist() == [kept < 5]


class AbandonedError(Exception):
    """Raised by a test's checkpoint."""


@pytest.mark.parametrize(
    ("passes", "detector_calls", "keypoint_calls"), [(0, 0, 0), (1, 1, 0), (99, 1, 1)]
)
def test_a_checkpoint_that_raises_stops_before_the_next_stage(
    passes: int, detector_calls: int, keypoint_calls: int
) -> None:
    models, left = DotModels(), iter(range(passes))

    def checkpoint() -> None:
        if next(left, None) is None:
            raise AbandonedError

    options = pose_options(detector_network(96, 128), keypoint_network(128, 96))
    if passes < 99:
        with pytest.raises(AbandonedError):
            estimate_poses(Photo(scene()), options, models, checkpoint)
    else:
        estimate_poses(Photo(scene()), options, models, checkpoint)
    assert (len(models.detector_inputs), len(models.crops)) == (detector_calls, keypoint_calls)


def five_joints(_model: str, images: np.ndarray, _: tuple[str, ...]) -> list[np.ndarray]:
    """A keypoint model that finds joint i in column 5 + i and row 8 of heatmaps."""
    heatmaps = np.zeros((len(images), 5, 32, 24), np.float32)
    heatmaps[:, range(5), 8, range(5, 10)] = 0.5
    return [heatmaps]


def test_any_number_of_joints() -> None:
    """Pairs change places in the mirrored crop; where no pairs are known nothing is averaged."""
    told = '{"names": ["a", "b", "c", "d", "e"], "flip_pairs": [["b", "c"]]}'
    model = keypoint_network(128, 96, joints=5, keypoint_schema=told)
    options = pose_options(detector_network(96, 128), model)
    given = Detections(BOXES[:2], SCORES[:2])
    poses = estimate_poses(Photo(scene()), options, five_joints, given=given)
    assert poses.keypoints.shape == (2, 5, 3)
    assert json.loads(poses.keypoint_schema[0])["names"] == list("abcde")
    assert (poses.keypoints[..., 2] == 0.5).all()
    flipped = estimate_poses(Photo(scene()), replace(options, flip=True), five_joints, given=given)
    # Joint a of the mirrored crop is in another column, so that the average has half its score.
    assert (flipped.keypoints[..., 2] == 0.25).all()
    nobody = estimate_poses(
        Photo(scene()), options, five_joints, given=Detections(BOXES[:0], SCORES[:0])
    )
    assert nobody.keypoints.shape == (0, 5, 3)
    assert nobody.keypoint_schema.tolist() == poses.keypoint_schema.tolist()


def test_a_model_with_another_number_of_joints_than_it_says() -> None:
    options = pose_options(detector_network(96, 128), keypoint_network(128, 96, joints=6))
    with pytest.raises(ModelFailedError, match=r"5 heatmaps per person, .* says 6 keypoints"):
        estimate_poses(
            Photo(scene()), options, five_joints, given=Detections(BOXES[:1], SCORES[:1])
        )


def large_photo(*, fast: bool) -> Photo:
    """The scene as a JPEG of 8 times as many pixels in each direction, but for a few."""
    size = 8 * IMAGE_SIZE[0] - 3, 8 * IMAGE_SIZE[1] - 5
    large = cv2.resize(scene(), size, interpolation=cv2.INTER_CUBIC)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return Photo(check_file(cv2.imencode(".jpg", large, quality)[1].tobytes()), fast=fast)


@pytest.mark.parametrize(
    ("boxes", "factors"),
    [
        # The detector's input is a twentieth; the smallest crop is of 600 pixels, padded, to 96.
        (None, [8, 4]),
        # Given people: decoded once, as the smallest of them needs it.
        ([[160, 240, 640, 880], [1600, 160, 2320, 1120]], [4]),
        ([[1600, 160, 2320, 1120]], [8]),
        ([], [8]),
    ],
)
def test_a_large_photo_is_decoded_as_finely_as_it_is_looked_at(
    boxes: list | None, factors: list[int]
) -> None:
    options = pose_options(detector_network(96, 128), keypoint_network(128, 96))
    given = None
    if boxes is not None:
        given = Detections(
            np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32)
        )
    photo = large_photo(fast=True)
    full = estimate_poses(large_photo(fast=False), options, DotModels(), given=given)
    fast = estimate_poses(photo, options, DotModels(), given=given)
    assert list(photo._decoded) == factors
    # The network sees a few pixels beyond the border.
    np.testing.assert_allclose(fast.boxes, full.boxes, atol=6)
    np.testing.assert_allclose(fast.keypoints[..., :2], full.keypoints[..., :2], atol=8)
    if boxes is None:
        np.testing.assert_allclose(fast.boxes, BOXES * 8, atol=8)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("region", [None, np.array([[0, 0], [1, 0], [0, 1]], np.float32)])
def test_a_damaged_file_is_an_error_also_where_nobody_is_looked_for(
    region: np.ndarray | None, fast: bool
) -> None:
    data = cv2.imencode(".jpg", np.full((480, 640, 3), 90, np.uint8))[1].tobytes()
    start = data.index(b"\xff\xda")
    boxes = np.zeros((0, 4), np.float32) if region is None else BOXES * 8
    given = Detections(boxes, np.ones(len(boxes), np.float32))
    options = pose_options()
    for file, damaged in ((data, False), (data[:start] + b"\xff\xd9", True)):
        photo = Photo(check_file(file), fast=fast)
        with pytest.raises(DamagedImageError) if damaged else nullcontext():
            found = estimate_poses(photo, options, DotModels(), given=given, region=region)
            assert len(found.boxes) == 0
