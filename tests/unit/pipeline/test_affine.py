"""Person crops: boxes to matrices, matrices to crops, points back to the image."""

import cv2
import numpy as np
import pytest

from decoding_matrix import hostile_crops
from tritonpose_pipeline.crops import (
    boxes_to_centers_and_scales,
    crop_matrices,
    crop_people,
    transform_points,
    udp_matrices,
)

SIZES = [(96, 128), (192, 256), (24, 32), (7, 5)]
CENTERS = np.array([[50, 40], [0, 0], [-12.5, 300.25], [1919.75, 3.5]], np.float32)
SCALES = np.array([[60, 80], [96, 128], [12.5, 20.75], [750.5, 999.25]], np.float32)


def apply(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    return matrix[:, 0] * x + matrix[:, 1] * y + matrix[:, 2]


def crop_matrix_by_hand(center: np.ndarray, width: float, size: tuple[int, int]) -> np.ndarray:
    """One factor for both axes; the center comes to lie in the middle."""
    factor = size[0] / width
    middle = np.array(size) / 2
    return np.column_stack([np.eye(2) * factor, middle - factor * center])


@pytest.mark.parametrize(
    ("box", "aspect_ratio", "center", "scale"),
    [
        ((10, 20, 40, 60), 0.75, (25, 40), (37.5, 50)),  # has the aspect ratio already
        ((10, 20, 50, 60), 0.75, (30, 40), (50, 200 / 3)),  # too wide: gets higher
        ((10, 20, 20, 60), 0.75, (15, 40), (37.5, 50)),  # too high: gets wider
        ((0, 0, 8, 8), 1.0, (4, 4), (10, 10)),
        ((0, 0, 4, 8), 2.0, (2, 4), (20, 10)),
        ((0, 0, 32, 8), 2.0, (16, 4), (40, 20)),
        ((100.5, 7.25, 104.5, 11.25), 0.5, (102.5, 9.25), (5, 10)),
    ],
)
def test_boxes_grow_to_the_aspect_ratio_and_by_a_quarter(
    box: tuple, aspect_ratio: float, center: tuple, scale: tuple
) -> None:
    other = (0, 0, 300, 1)
    boxes = np.array([other, box], np.float32)
    centers, scales = boxes_to_centers_and_scales(boxes, aspect_ratio)
    assert centers.dtype == scales.dtype == np.float32
    np.testing.assert_allclose(centers[1], center, rtol=1e-6)
    np.testing.assert_allclose(scales[1], scale, rtol=1e-6)
    np.testing.assert_allclose(scales[0], [375, 375 / aspect_ratio], rtol=1e-6)


def test_no_boxes() -> None:
    centers, scales = boxes_to_centers_and_scales(np.zeros((0, 4), np.float32), 0.75)
    assert centers.shape == scales.shape == (0, 2)
    for matrices in (crop_matrices, udp_matrices):
        assert matrices(centers, scales, (96, 128)).shape == (0, 2, 3)
    image = np.zeros((5, 5, 3), np.uint8)
    assert crop_people(image, np.zeros((0, 2, 3)), (96, 128)).shape == (0, 128, 96, 3)


@pytest.mark.parametrize("size", SIZES)
def test_crop_matrices(size: tuple) -> None:
    matrices = crop_matrices(CENTERS, SCALES, size)
    assert matrices.shape == (len(CENTERS), 2, 3)
    assert matrices.dtype == np.float64
    for matrix, center, scale in zip(matrices, CENTERS, SCALES, strict=True):
        expected = crop_matrix_by_hand(center, scale[0], size)
        np.testing.assert_allclose(matrix, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_matrices_solve_for_three_points_as_opencv_does(size: tuple) -> None:
    """Bit for bit, so that `warpAffine` rounds alike: center, above it, left of that."""
    to_crop, to_image = (
        crop_matrices(CENTERS, SCALES, size),
        crop_matrices(CENTERS, SCALES, size, inverse=True),
    )
    right, bottom = np.float32(size[0] / 2), np.float32(size[1] / 2)
    target = [(right, bottom), (right, bottom - right), (0, bottom - right)]
    for i, ((x, y), (width, _)) in enumerate(zip(CENTERS, SCALES, strict=True)):
        half = width / np.float32(2)
        source = [(x, y), (x, y - half), (x - (y - (y - half)), y - half)]
        points = np.array(source, np.float32), np.array(target, np.float32)
        np.testing.assert_array_equal(to_crop[i], cv2.getAffineTransform(*points))
        np.testing.assert_array_equal(to_image[i], cv2.getAffineTransform(*points[::-1]))


@pytest.mark.parametrize("size", SIZES)
def test_udp_box_corners_become_centers_of_corner_pixels(size: tuple) -> None:
    matrices = udp_matrices(CENTERS, SCALES, size)
    assert matrices.dtype == np.float64
    np.testing.assert_array_equal(matrices, matrices.astype(np.float32))
    last = np.array(size) - 1
    for matrix, center, scale in zip(matrices, CENTERS, SCALES, strict=True):
        np.testing.assert_allclose(apply(matrix, *(center - scale / 2)), [0, 0], atol=2e-3)
        np.testing.assert_allclose(apply(matrix, *(center + scale / 2)), last, atol=2e-3)
        np.testing.assert_allclose(apply(matrix, *center), last / 2, atol=2e-3)
        assert matrix[0, 1] == matrix[1, 0] == 0


def smooth_image(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    channels = [np.sin(x / 9 + y / 14), np.cos(x / 11 - y / 12), np.sin(y / 10) * np.cos(x / 13)]
    return (np.dstack(channels) * 60 + 150).round().astype(np.uint8)


def bilinear(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The image's value between pixels; black outside."""
    left, top = int(np.floor(x)), int(np.floor(y))
    value = np.zeros(3)
    for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
        for column, weight in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                value += image[row, column] * row_weight * weight
    return value


CROPS = {
    "inside": np.array([[0.8, 0, -20], [0, 0.8, -10]]),
    "enlarged": np.array([[2.3, 0, -90], [0, 1.9, -60.5]]),
    "beyond the corner": np.array([[0.7, 0, 11.3], [0, 0.7, 9.6]]),
    "beyond the end": np.array([[1.1, 0, -75.4], [0, 1.1, -62.2]]),
    "far away": np.array([[1.0, 0, 500], [0, 1.0, 0]]),
}


@pytest.mark.parametrize("matrix", CROPS.values(), ids=CROPS)
def test_crops_are_sampled_bilinearly_from_a_black_surround(matrix: np.ndarray) -> None:
    image = smooth_image(72, 96)
    width, height = 36, 44
    (crop,) = crop_people(image, matrix[None], (width, height))
    assert crop.shape == (height, width, 3)
    for v in range(height):
        for u in range(width):
            x, y = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
            # OpenCV rounds positions to 1/32 pixel, which shows where the image ends.
            at_edge = min(abs(x), abs(x - 95), abs(y), abs(y - 71)) < 1.1
            expected = bilinear(image, x, y)[::-1]
            np.testing.assert_allclose(crop[v, u], expected, atol=8 if at_edge else 1)


def test_each_matrix_gives_its_own_crop() -> None:
    image = smooth_image(72, 96)
    matrices = np.array(list(CROPS.values()))
    crops = crop_people(image, matrices, (20, 10))
    assert crops.dtype == np.uint8
    for matrix, crop in zip(matrices, crops, strict=True):
        np.testing.assert_array_equal(crop, crop_people(image, matrix[None], (20, 10))[0])
    assert not crops[-1].any()
    assert crops[0].all()


def test_points_are_transformed_person_by_person() -> None:
    rng = np.random.default_rng(0)
    points, matrices = rng.normal(size=(4, 17, 2)), rng.normal(size=(4, 2, 3))
    result = transform_points(points, matrices)
    for person in range(4):
        for joint in range(17):
            expected = apply(matrices[person], *points[person, joint])
            np.testing.assert_allclose(result[person, joint], expected, rtol=1e-12)


@pytest.mark.skipif(
    cv2.__version__ >= "4.13", reason="this OpenCV's warpAffine is not PaddleX's any more"
)
@pytest.mark.parametrize("size", [(96, 128), (192, 256), (7, 5)])
def test_crops_are_those_of_paddlexs_opencv(size: tuple[int, int]) -> None:
    image, matrices = hostile_crops()
    for crop, matrix in zip(crop_people(image, matrices, size), matrices, strict=True):
        expected = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(crop[..., ::-1], expected)
