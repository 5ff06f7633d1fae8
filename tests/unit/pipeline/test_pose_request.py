"""A request's tensors: one image in one of two forms, and the threshold."""

import cv2
import numpy as np
import pytest

from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.image import EncodedImage, decode_image
from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.request import PipelineRequest

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()
LIMITS = Limits(workers=1, max_persons=3)


def request(**parts: object) -> PipelineRequest:
    absent = dict.fromkeys(("image", "frame", "det_threshold", "person_boxes", "roi"))
    return PipelineRequest(**{**absent, "parameters": {}, **parts})


def test_a_file_is_looked_at_before_it_is_decoded_and_a_frame_taken_as_it_is() -> None:
    assert request(frame=PIXELS).check_image(LIMITS) is PIXELS
    file = request(image=PNG).check_image(LIMITS)
    assert isinstance(file, EncodedImage)
    assert (file.format, file.header.pixels, file.data) == ("PNG", 6 * 8, PNG)
    np.testing.assert_array_equal(decode_image(file), PIXELS)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "send exactly one of `image` .* and `frame` .*, got neither"),
        ({"image": PNG, "frame": PIXELS}, "send exactly one of `image` .*, got both"),
        ({"image": PNG[:0]}, "`image` is empty"),
        ({"image": PNG[:20]}, "begins like a PNG file but can't be decoded: the 20 bytes"),
        ({"frame": PIXELS[:0]}, "`frame` has no pixels: it is 8x0"),
        ({"frame": PIXELS[..., :1]}, r"got shape \[6, 8, 1\]"),
    ],
)
def test_unusable_images_are_refused(parts: dict, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        request(**parts).check_image(LIMITS)


@pytest.mark.parametrize(
    ("tensor", "threshold"),
    [
        (None, None),
        (np.array([0.25], np.float32), 0.25),
        (np.array([0], np.float32), 0.0),
        (np.array([[0.75]], np.float32), 0.75),
    ],
)
def test_threshold(tensor: np.ndarray | None, threshold: float | None) -> None:
    assert request(det_threshold=tensor).threshold == threshold


@pytest.mark.parametrize("boxes", [[], [[10, 20, 30.5, 40]], [[1, 2, 3, 4], [-5, -6, 900, 700]]])
def test_given_boxes_are_taken_as_they_are(boxes: list) -> None:
    assert request().given_people(LIMITS) is None
    given = np.array(boxes, np.float32).reshape(-1, 4)
    persons = request(person_boxes=given).given_people(LIMITS)
    np.testing.assert_array_equal(persons.boxes, given)
    assert persons.scores.tolist() == [1.0] * len(boxes)
    assert persons.scores.dtype == np.float32


@pytest.mark.parametrize("shape", [(4,), (0,), (2, 5), (1, 1, 4)])
def test_given_boxes_must_have_four_numbers_each(shape: tuple) -> None:
    with pytest.raises(BadRequestError) as caught:
        request(person_boxes=np.zeros(shape, np.float32)).given_people(LIMITS)
    assert str(caught.value) == (
        f"`person_boxes` must be float32 [N, 4] (x1, y1, x2, y2), got {list(shape)}"
    )


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((10, 20, 10, 40), "[10.0, 20.0, 10.0, 40.0]"),
        ((10, 20, 30, 20), "[10.0, 20.0, 30.0, 20.0]"),
        ((30, 20, 10, 40), "[30.0, 20.0, 10.0, 40.0]"),
        ((10, 20, np.inf, 40), "[10.0, 20.0, inf, 40.0]"),
        ((-np.inf, 20, 30, 40), "[-inf, 20.0, 30.0, 40.0]"),
        ((10, np.nan, 30, 40), "[10.0, nan, 30.0, 40.0]"),
    ],
)
def test_the_first_box_without_area_is_named(box: tuple, text: str) -> None:
    boxes = np.array([(0, 0, 1, 1), box, (0, 0, 0, 0)], np.float32)
    with pytest.raises(BadRequestError) as caught:
        request(person_boxes=boxes).given_people(LIMITS)
    assert str(caught.value) == (
        f"`person_boxes` must have x1 < x2 and y1 < y2 within 1000000 pixels, box 1 is {text}"
    )


SQUARE = [[0, 0], [8, 0], [8, 6], [0, 6]]


@pytest.mark.parametrize(
    "corners",
    [
        SQUARE,
        [*SQUARE, SQUARE[0]],
        [[0, 0], [8, 6], [8, 0], [0, 6]],
        [[-1e6, -1e6], [1e6, 0.5], [0, 1e6]],
        [[x, x * x] for x in range(1000)],
    ],
    ids=["square", "closed", "crosses itself", "far beyond", "most corners"],
)
def test_regions_are_taken_as_they_are(corners: list) -> None:
    assert request().region() is None
    region = request(roi=np.array(corners, np.float32)).region()
    np.testing.assert_array_equal(region, np.array(corners, np.float32))


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        (np.zeros((3, 3)), r"`roi` must be float32 \[M, 2\] \(x, y\), got \[3, 3\]"),
        (np.zeros(8), r"got \[8\]"),
        (SQUARE[:2], "`roi` must be a polygon of 3 to 1000 corners, got 2"),
        (np.zeros((0, 2)), "3 to 1000 corners, got 0"),
        (np.zeros((1001, 2)), "3 to 1000 corners, got 1001"),
        ([[0, 0], [8, np.nan], [8, 6]], r"corner 1 is \[8.0, nan\]"),
        ([[0, 0], [8, 0], [np.inf, 6]], "within 1000000 pixels, corner 2 is"),
        ([[1, 1], [2, 2], [5, 5], [3, 3]], "`roi` must have an area; its corners lie on one line"),
        ([[7, 7]] * 4, "must have an area"),
    ],
)
def test_what_is_no_region_is_refused(corners: list, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        request(roi=np.array(corners, np.float32)).region()
