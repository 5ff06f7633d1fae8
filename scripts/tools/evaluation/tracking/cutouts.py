"""Cut people and backgrounds out of photos, to make clips of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tools.errors import ToolError
from tritonpose.transport.messages import PoseResponse
from tritonpose_pipeline.keypoint_schema import KeypointSchema

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

# Shows the people of a photo, at a threshold.
Find = Callable[[Image, float], PoseResponse]

# A person who is cut out is surely one, alone, upright and whole.
_SURE_SCORE = 0.7
_SURE_JOINTS = 0.5
_LEAST_HEIGHT = 100
_LEAST_SLENDERNESS = 1.4
_MOST_OVERLAP = 0.15
_WEAK = 0.3
_MARGIN = 0.1

# As many are in one clip.
_ENOUGH = 4

# A background keeps no trace of its people.
_FAINT = 0.25
_LONGER_SIDE = 800
_BLUR = 12.0
_PERSON = 0.5


@dataclass(frozen=True, eq=False)
class Cutout:
    """A person without surroundings.

    `image` is ``[H, W, 3]``, BGR; `opacity` float32 ``[H, W]``, 0 to 1, soft at the rim; `outline`
    ``[M, 2]`` and `keypoints` ``[K, 3]`` are in its pixels. It is `height` high from top to toe,
    where `foot` is the middle of the lower rim.
    """

    image: Image
    opacity: npt.NDArray[np.float32]
    outline: Floats
    keypoints: Floats

    @property
    def height(self) -> float:
        """From top to toe, in pixels."""
        return float(np.ptp(self.outline[:, 1]))

    @property
    def foot(self) -> Floats:
        """The middle of the lower rim."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        return np.array([(low[0] + high[0]) / 2, high[1]])

    def mirrored(self, schema: KeypointSchema) -> Cutout:
        """Return the person seen in a mirror."""
        last = self.image.shape[1] - 1
        turned = [np.abs([last, 0, 0] - self.keypoints), np.abs([last, 0] - self.outline)]
        return Cutout(
            np.ascontiguousarray(self.image[:, ::-1]),
            np.ascontiguousarray(self.opacity[:, ::-1]),
            turned[1],
            turned[0][list(schema.mirrored or range(len(schema.names)))],
        )


def cut_people(photos: Sequence[Path], find: Find) -> tuple[list[Cutout], list[Image]]:
    """Cut out all people who are fit for clips, and return the backgrounds that are left.

    Where there are few people, their mirror images are others. ToolError unless there are one
    person and one background at least.
    """
    people: list[Cutout] = []
    backgrounds: list[Image] = []
    schema = None
    for path in photos:
        photo = cv2.imread(str(path))
        if photo is None:
            raise ToolError(f"can't read the photo {path}")
        image = np.asarray(photo, np.uint8)
        found = find(image, _FAINT)
        schema = found.schema
        cutouts = (_cut(image, found, each) for each in _fit(found, image))
        people += [each for each in cutouts if each is not None]
        background = _background(image, found.boxes)
        blurred = np.asarray(cv2.GaussianBlur(background, (0, 0), _BLUR), np.uint8)
        # Where more looks like people, only what nobody takes for them.
        for ground, most in ((background, _WEAK), (blurred, _PERSON)):
            if not len(find(ground, most).boxes):
                backgrounds.append(ground)
                break
    if schema is None or not people or not backgrounds:
        raise ToolError(
            "clips are made of people who stand alone and are seen from top to toe, and of "
            f"backgrounds; the {len(photos)} photos have {len(people)} and {len(backgrounds)}"
        )
    if len(people) < _ENOUGH:
        people += [each.mirrored(schema) for each in people]
    return people, backgrounds


def _fit(found: PoseResponse, image: Image) -> Iterator[int]:
    """Yield the numbers of the people who can be cut out."""
    height, width = image.shape[:2]
    for number, (x1, y1, x2, y2) in enumerate(found.boxes):
        whole = x1 > 1 and y1 > 1 and x2 < width - 1 and y2 < height - 1
        sure = found.det_scores[number] >= _SURE_SCORE and found.kpt_scores[number] >= _SURE_JOINTS
        upright = y2 - y1 >= max(_LEAST_HEIGHT, _LEAST_SLENDERNESS * (x2 - x1))
        others = np.delete(found.boxes, number, axis=0)
        shared = np.clip(
            np.minimum(others[:, 2:], [x2, y2]) - np.maximum(others[:, :2], [x1, y1]), 0, None
        ).prod(axis=1)
        if whole and sure and upright and shared.sum() <= _MOST_OVERLAP * (x2 - x1) * (y2 - y1):
            yield number


def _cut(image: Image, found: PoseResponse, number: int) -> Cutout | None:
    """Cut a person out along the edges that GrabCut finds; None where it finds nobody."""
    box, keypoints = found.boxes[number], found.keypoints[number].astype(np.float64)
    size = box[2:] - box[:2]
    low = np.maximum(box[:2] - _MARGIN * size, 0).astype(int)
    high = np.minimum(box[2:] + _MARGIN * size, image.shape[1::-1]).astype(int)
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    keypoints[:, :2] -= low
    labels: cv2.typing.MatLike = np.full(part.shape[:2], cv2.GC_BGD, np.uint8)
    x1, y1, x2, y2 = np.round(box - [*low, *low]).astype(int)
    labels[y1:y2, x1:x2] = cv2.GC_PR_BGD
    breadth = max(3, round(0.06 * float(size[1])))
    _draw(labels, keypoints, found.schema, cv2.GC_PR_FGD, 3 * breadth)
    _draw(labels, keypoints, found.schema, cv2.GC_FGD, breadth)
    work = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(part, labels, (0, 0, 1, 1), work[0], work[1], 4, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < 0.15 * float(size.prod()):
        return None
    blank: cv2.typing.MatLike = np.zeros(part.shape[:2], np.float32)
    solid = cv2.drawContours(blank, [largest], -1, [1.0], -1)
    outline = cv2.convexHull(largest).reshape(-1, 2).astype(np.float64)
    return Cutout(part, np.asarray(cv2.GaussianBlur(solid, (0, 0), 1.0)), outline, keypoints)


def _draw(
    labels: cv2.typing.MatLike, keypoints: Floats, schema: KeypointSchema, label: int, breadth: int
) -> None:
    """Draw a person's bones and head, of the joints that were found well."""
    points = [tuple(map(round, point)) for point in keypoints[:, :2].tolist()]
    for start, end in schema.skeleton:
        if min(keypoints[start, 2], keypoints[end, 2]) >= _WEAK:
            cv2.line(labels, points[start], points[end], [label], breadth)
    hips_and_shoulders = [5, 6, 12, 11]
    if len(points) == 17 and keypoints[hips_and_shoulders, 2].min() >= _WEAK:
        torso = np.array([points[joint] for joint in hips_and_shoulders], np.int32)
        cv2.fillConvexPoly(labels, torso, [label])


def _background(image: Image, boxes: npt.NDArray[np.float32]) -> Image:
    """Fill the places of people with what surrounds them."""
    factor = min(1.0, _LONGER_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    holes = np.zeros(small.shape[:2], np.uint8)
    for x1, y1, x2, y2 in boxes * factor:
        dx, dy = 0.1 * (x2 - x1), 0.1 * (y2 - y1)
        corners = np.round([x1 - dx, y1 - dy, x2 + dx, y2 + dy]).astype(int).clip(0)
        holes[corners[1] : corners[3], corners[0] : corners[2]] = 255
    return np.asarray(cv2.inpaint(small, holes, 5, cv2.INPAINT_TELEA), np.uint8)
