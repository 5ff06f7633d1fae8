"""Images decoded at a fraction of their size: where their pixels lie, and who needs them all."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from composing_models import detector_network
from tritonpose_pipeline.crops import transform_points
from tritonpose_pipeline.detection import detector_scale
from tritonpose_pipeline.errors import DamagedImageError
from tritonpose_pipeline.image import check_file
from tritonpose_pipeline.photo import Photo, Picture

PIXELS = np.zeros((48, 64, 3), np.uint8)


def jpeg(image: np.ndarray, orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(image[..., ::-1]).save(file, "JPEG", quality=95, exif=exif, **options)
    return file.getvalue()


def blob(width: int, height: int, x: float, y: float) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    bright = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 30.0**2))
    return np.repeat(bright[..., None], 3, axis=2).round().astype(np.uint8)


def center(picture: Picture) -> np.ndarray:
    """Where the blob is, in pixels of the image."""
    weights = picture.pixels[..., 0].astype(float) ** 2
    rows, columns = np.indices(weights.shape)
    found = np.array([(weights * each).sum() for each in (columns, rows)]) / weights.sum()
    return found * picture.factor + (picture.factor - 1) / 2 + picture.origin


@pytest.mark.parametrize("size", [(640, 480), (645, 483), (1, 1), (7, 641)])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_pixels_lie_where_those_of_the_whole_image_do(
    size: tuple[int, int], orientation: int, factor: int
) -> None:
    data = jpeg(blob(*size, size[0] * 0.3, size[1] * 0.6), orientation)
    whole, reduced = Photo(check_file(data)), Photo(check_file(data), fast=True)
    assert whole.size == reduced.size == whole.picture().pixels.shape[1::-1]
    picture = reduced.picture(factor)
    assert picture.factor == factor
    assert picture.pixels.shape[1::-1] == tuple(-(-side // factor) for side in whole.size)
    if min(size) > 400:
        np.testing.assert_allclose(center(picture), center(whole.picture()), atol=0.05)


def test_crops_of_fewer_pixels_show_what_those_of_the_image_do() -> None:
    random = np.random.default_rng(5)
    matrices, points = random.normal(size=(3, 2, 3)), random.uniform(0, 60, (3, 9, 2))
    picture = Picture(PIXELS, factor=4, origin=(-3.0, -1.0))
    in_image = points * 4 + 1.5 + picture.origin
    np.testing.assert_allclose(
        transform_points(points, picture.from_image(matrices)), transform_points(in_image, matrices)
    )


@pytest.mark.parametrize(
    ("scale", "factor"),
    [(0.1, 1), (1, 1), (1.99, 1), (2, 2), (3.9, 2), (4, 4), (7.9, 4), (8, 8), (90, 8)],
)
def test_no_more_pixels_become_one_than_would_anyway(scale: float, factor: int) -> None:
    file = check_file(jpeg(PIXELS))
    assert Photo(file, fast=True).factor(scale) == factor
    assert Photo(file).factor(scale) == 1
    png = check_file(cv2.imencode(".png", PIXELS)[1].tobytes())
    assert Photo(png, fast=True).factor(scale) == 1
    assert Photo(PIXELS, fast=True).factor(scale) == 1


def test_the_finer_direction_counts_for_the_detector() -> None:
    assert detector_scale((960, 480), detector_network(32, 48)) == 15
    assert detector_scale((960, 480), detector_network(32, 48, keep_ratio="true")) == 20


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg(options: dict, mode: str) -> None:
    file = io.BytesIO()
    picture = Image.fromarray(blob(645, 483, 200, 300)).convert(mode)
    picture.save(file, "JPEG", quality=95, **options)
    photo = Photo(check_file(file.getvalue()), fast=True)
    np.testing.assert_allclose(center(photo.picture(8)), center(photo.picture()), atol=0.1)


def test_a_damaged_jpeg() -> None:
    data = jpeg(blob(640, 480, 200, 300))
    for length in (400, 700):
        with pytest.raises(DamagedImageError, match="begins like a JPEG file but can't be decoded"):
            Photo(check_file(data[:length]), fast=True).picture(8)


def test_crops_get_pictures_that_are_fine_enough() -> None:
    photo = Photo(check_file(jpeg(blob(640, 480, 200, 300))), fast=True)
    photo.picture(4)
    found = photo.pictures(np.array([9, 3.5, 4, 2.5], np.float32))
    # What is there serves where it can, and one more serves all others.
    assert [(picture.factor, crops.tolist()) for picture, crops in found] == [
        (4, [True, False, True, False]),
        (2, [False, True, False, True]),
    ]
    found = Photo(check_file(jpeg(PIXELS)), fast=True).pictures(np.array([9, 1.5], np.float32))
    assert [(picture.factor, crops.tolist()) for picture, crops in found] == [(1, [True, True])]
