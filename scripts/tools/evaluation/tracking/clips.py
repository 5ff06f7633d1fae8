"""Clips with exact truth: people who were cut out of photos move over a background.

Places are in pixels of a camera at rest; what a moving camera sees is an affine map of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tools.evaluation.tracking.cutouts import Cutout, Image

Floats = npt.NDArray[np.float64]

# The background goes on around what a camera at rest sees, by this share of its sides.
_BEYOND = 0.5
# Of people of whom less is seen, nothing is known.
_SEEN = 0.2


@dataclass(frozen=True)
class Place:
    """Where a person stands: the middle of the feet, the height and the tilt in degrees."""

    x: float
    y: float
    height: float
    tilt: float = 0.0


@dataclass(frozen=True, eq=False)
class Actor:
    """A person of a clip; `place` is None at times when nobody sees them."""

    cutout: Cutout
    place: Callable[[float], Place | None]


@dataclass(frozen=True, eq=False)
class TruePerson:
    """Where a person really is in a frame.

    `identity` is the actor's number. `box` is x1, y1, x2, y2, within the frame; `keypoints`
    ``[K, 3]`` are those of the photo, moved; `seen` is the share that is neither covered nor
    outside.
    """

    identity: int
    box: Floats
    keypoints: Floats
    seen: float


def at_rest(_: float) -> Floats:
    """Return the map of a camera that does not move."""
    return np.eye(3)


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip, drawn when it is asked for.

    Actors are drawn in their order, the last in front. `camera` maps places to pixels at a time,
    ``[3, 3]``, affine. From time `cut` on, the other background is seen. `quality` is JPEG's;
    `noise` the deviation of the sensor's noise, in gray levels.
    """

    name: str
    kind: str
    rate: float
    seconds: float
    backgrounds: tuple[Image, ...]
    actors: Sequence[Actor]
    camera: Callable[[float], Floats] = at_rest
    size: tuple[int, int] = (640, 360)
    cut: float = float("inf")
    quality: int = 80
    noise: float = 3.0

    @property
    def times(self) -> list[float]:
        """The times of all frames, in seconds."""
        return [number / self.rate for number in range(round(self.seconds * self.rate))]

    def frames(self) -> Iterator[tuple[Image, list[TruePerson]]]:
        """Draw the frames, each with the people who can be seen in it."""
        random = np.random.default_rng(0)
        grounds = [_stretched(each, self.size) for each in self.backgrounds]
        for time in self.times:
            ground, shift = grounds[int(time >= self.cut) % len(grounds)]
            camera = self.camera(time)
            image = cv2.warpAffine(
                ground,
                (camera @ shift)[:2],
                self.size,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            ).astype(np.float32)
            people = self._draw_people(image, camera, time)
            image += random.normal(0.0, self.noise, image.shape).astype(np.float32)
            yield self._compressed(image), people

    def _draw_people(
        self, image: npt.NDArray[np.float32], camera: Floats, time: float
    ) -> list[TruePerson]:
        seen: list[tuple[int, Cutout, Floats, npt.NDArray[np.float32]]] = []
        for identity, actor in enumerate(self.actors):
            place = actor.place(time)
            if place is None:
                continue
            moved = camera @ _placement(actor.cutout, place)
            opacity = cv2.warpAffine(actor.cutout.opacity, moved[:2], self.size)
            drawn = cv2.warpAffine(
                actor.cutout.image,
                moved[:2],
                self.size,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            image += (drawn - image) * opacity[..., None]
            seen = [(*one[:3], one[3] * (1 - opacity)) for one in seen]
            seen.append((identity, actor.cutout, moved, np.asarray(opacity)))
        people = []
        for identity, cutout, moved, visible in seen:
            whole = cutout.opacity.sum() * abs(np.linalg.det(moved[:2, :2]))
            share = float(visible.sum() / whole)
            if share >= _SEEN:
                outline = _mapped(moved, cutout.outline)
                corners = np.array([outline.min(axis=0), outline.max(axis=0)]).clip(0, self.size)
                places = _mapped(moved, cutout.keypoints[:, :2])
                keypoints = np.column_stack([places, cutout.keypoints[:, 2]])
                people.append(TruePerson(identity, corners.ravel(), keypoints, share))
        return people

    def _compressed(self, image: npt.NDArray[np.float32]) -> Image:
        pixels = image.round().clip(0, 255).astype(np.uint8)
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _stretched(background: Image, size: tuple[int, int]) -> tuple[Image, Floats]:
    """Cut a background to what any camera sees; and map its pixels to places."""
    width, height = (round(side * (1 + 2 * _BEYOND)) for side in size)
    factor = max(width / background.shape[1], height / background.shape[0])
    large = cv2.resize(background, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    shift = np.eye(3)
    shift[:2, 2] = [-_BEYOND * size[0], -_BEYOND * size[1]]
    return np.ascontiguousarray(large[:height, :width]), shift


def _placement(cutout: Cutout, place: Place) -> Floats:
    """Map the pixels of a person to places."""
    scale, tilt = place.height / cutout.height, np.deg2rad(place.tilt)
    turned = scale * np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    result = np.eye(3)
    result[:2, :2] = turned
    result[:2, 2] = np.array([place.x, place.y]) - turned @ cutout.foot
    return result


def _mapped(matrix: Floats, points: Floats) -> Floats:
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2])
