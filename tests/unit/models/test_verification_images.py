"""Made-up images to try models on."""

from __future__ import annotations

import numpy as np
import pytest

from tritonpose_server.models.paddle.verification_images import verification_images


@pytest.mark.parametrize("size", [(128, 96), (320, 320), (8, 4), (1, 1)])
def test_images(size: tuple[int, int]) -> None:
    series = [verification_images(*size, index) for index in range(3)]
    assert {(images.shape, images.dtype.name) for images in series} == {((4, *size, 3), "uint8")}
    again = verification_images(*size, 1)
    np.testing.assert_array_equal(again, series[1])
    images = np.concatenate(series)
    for index, image in enumerate(images):
        others = np.delete(images, index, axis=0)
        assert (others != image).any(axis=(1, 2, 3)).all()
    if size[0] > 8:
        # Bright, dark and colored: a mistake in any channel shows.
        assert images.min() < 20
        assert images.max() > 235
        assert (images.std(axis=(0, 1, 2)) > 40).all()
