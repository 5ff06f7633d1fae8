"""Images made up to try models on: the same on every machine, and no two alike."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]

_SKIN = (205, 160, 130)


def verification_images(height: int, width: int, series: int) -> Images:
    """Make four images: a person, several people, shapes on a gradient, coarse and fine noise.

    They are uint8 ``[4, height, width, 3]``, RGB, others for each ``series``.
    """
    rng = np.random.default_rng([series, height, width])
    portrait = _gradient(rng, height, width)
    _draw_person(portrait, rng, 0.5 * width, 0.96 * height, 0.9 * height)
    crowd = _gradient(rng, height, width)
    for _ in range(6):
        bottom = rng.uniform(0.5, 1.0) * height
        _draw_person(crowd, rng, rng.uniform(0.1, 0.9) * width, bottom, bottom * 0.8)
    shapes = _gradient(rng, height, width)
    for _ in range(12):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (1 + int(rng.integers(width // 4 + 1)), 1 + int(rng.integers(height // 4 + 1)))
        cv2.ellipse(shapes, center, axes, rng.uniform(0, 180), 0, 360, _color(rng), -1, cv2.LINE_AA)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    images = np.stack([portrait, crowd, shapes, noise]).astype(np.float64)
    images += rng.normal(0, 4, images.shape)
    return np.asarray(np.clip(images, 0, 255), np.uint8)


def _gradient(rng: np.random.Generator, height: int, width: int) -> Images:
    """Make a smooth background whose corners have different colors."""
    corners = rng.integers(40, 216, (2, 2, 3), dtype=np.uint8)
    background = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(background, np.uint8)


def _draw_person(
    image: Images, rng: np.random.Generator, middle: float, bottom: float, size: float
) -> None:
    """Draw a standing figure; x of its middle, y of its feet and its height are in pixels."""
    shirt, trousers = _color(rng), _color(rng)
    thickness = max(1, int(0.07 * size))

    def point(x: float, y: float) -> tuple[int, int]:
        return int(middle + x * size), int(bottom - y * size)

    for side in (-1, 1):
        hip, shoulder = point(side * 0.06, 0.5), point(side * 0.12, 0.8)
        knee = point(side * rng.uniform(0.05, 0.14), 0.27)
        cv2.line(image, hip, knee, trousers, thickness, cv2.LINE_AA)
        cv2.line(image, knee, point(side * 0.1, 0.0), trousers, thickness, cv2.LINE_AA)
        elbow = point(side * rng.uniform(0.16, 0.26), rng.uniform(0.6, 0.85))
        hand = point(side * rng.uniform(0.1, 0.32), rng.uniform(0.45, 0.95))
        cv2.line(image, shoulder, elbow, shirt, thickness, cv2.LINE_AA)
        cv2.line(image, elbow, hand, _SKIN, max(1, thickness * 2 // 3), cv2.LINE_AA)
    torso = [point(-0.12, 0.82), point(0.12, 0.82), point(0.08, 0.47), point(-0.08, 0.47)]
    cv2.fillConvexPoly(image, np.array(torso, np.int32), shirt, cv2.LINE_AA)
    axes = (max(1, int(0.055 * size)), max(1, int(0.075 * size)))
    cv2.ellipse(image, point(0, 0.91), axes, 0, 0, 360, _SKIN, -1, cv2.LINE_AA)
    cv2.ellipse(image, point(0, 0.95), axes, 0, 180, 360, _color(rng), -1, cv2.LINE_AA)


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue
