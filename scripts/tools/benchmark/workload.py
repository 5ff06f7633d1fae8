"""The images that are measured, and how those with so many people or pixels are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tools.benchmark.measure.rendering import Scene
from tools.benchmark.plan import Plan
from tools.benchmark.shots import Shot
from tools.errors import BenchmarkError
from tritonpose.transport.messages import PoseResponse

# Detector scores of contestants agree within 0.00001: a threshold in the middle of such a gap
# finds the same persons for all of them.
_LEAST_GAP = 0.0002

# What every contestant reads.
_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

_DRAWN_PEOPLE = 9
_JPEG_QUALITY = 90

Answer = Callable[[Shot], PoseResponse]


@dataclass(frozen=True)
class Workload:
    """What is measured.

    Attributes:
        photos: Photos as they are.
        persons: The same photo with thresholds that let so many people through, by their number.
        sizes: The same photo resized, by megapixels.
        scene: People to draw.
    """

    photos: tuple[Shot, ...]
    persons: Mapping[str, Shot]
    sizes: Mapping[str, Shot]
    scene: Scene


def find_images(places: Sequence[Path], most: int) -> list[Path]:
    """The image files in places: files, and directories with what is below them.

    Args:
        places: Where to look.
        most: From more images than this, fewer are taken evenly.

    Raises:
        BenchmarkError: There is none.
    """
    found = [
        path
        for place in places
        for path in ([place] if place.is_file() else sorted(place.rglob("*")))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not found:
        names = ", ".join(map(str, places))
        raise BenchmarkError(f"there are no images ({', '.join(_SUFFIXES)}) in {names}")
    return found[:: -(-len(found) // most)]


def make_workload(images: Sequence[Path], plan: Plan, answer: Answer, directory: Path) -> Workload:
    """Make everything that is measured out of some photos.

    Args:
        images: The photos.
        plan: Which numbers of people and sizes are wanted.
        answer: Finds people.
        directory: Takes the resized photos.
    """
    everyone = {path: answer(Shot(path, det_threshold=0.0)) for path in images}
    scores = {path: people.det_scores for path, people in everyone.items()}
    crowd = max(images, key=lambda path: countable(scores[path], plan.persons))
    persons = {
        str(count): Shot(crowd, threshold)
        for count in plan.persons
        if (threshold := threshold_for(scores[crowd], count)) is not None
    }
    drawn = max(images, key=lambda path: nth_score(scores[path], _DRAWN_PEOPLE))
    return Workload(
        photos=tuple(Shot(path) for path in images),
        persons=persons,
        sizes=_resized(images, plan, answer, directory),
        scene=Scene(drawn, everyone[drawn].keypoints[:_DRAWN_PEOPLE]),
    )


def threshold_for(scores: npt.NDArray[np.float32], count: int) -> float | None:
    """A detector threshold that lets exactly the first ``count`` people through.

    Args:
        scores: Of all candidates, descending.
        count: People wanted.

    Returns:
        The threshold; None where there are fewer people, or where the next one's score is too
        near for all contestants to agree.
    """
    if count > len(scores):
        return None
    above = 1.0 if count == 0 else float(scores[count - 1])
    below = float(scores[count]) if count < len(scores) else 0.0
    return (above + below) / 2 if above - below >= _LEAST_GAP else None


def countable(scores: npt.NDArray[np.float32], counts: Sequence[int]) -> tuple[int, float]:
    """How many numbers of people a photo can be brought to; of equals, the surest people win."""
    possible = [count for count in counts if threshold_for(scores, count) is not None]
    return len(possible), nth_score(scores, max(possible, default=0))


def nth_score(scores: npt.NDArray[np.float32], count: int) -> float:
    """The score of the ``count``-th person, 0 where there are fewer."""
    return float(scores[count - 1]) if 0 < count <= len(scores) else 0.0


def _resized(
    images: Sequence[Path], plan: Plan, answer: Answer, directory: Path
) -> dict[str, Shot]:
    """A photo in several sizes, with the same number of people in each."""
    # People that are clear stay so in every size.
    photo = max(images, key=lambda path: _clearness(answer(Shot(path)).det_scores))
    people = len(answer(Shot(photo)).det_scores)
    pixels = cv2.imread(str(photo))
    shots = {}
    for megapixels in plan.megapixels:
        path = directory / f"{photo.stem}_{megapixels:g}MP.jpg"
        _write_resized(np.asarray(pixels, np.uint8), megapixels, path)
        threshold = threshold_for(answer(Shot(path, det_threshold=0.0)).det_scores, people)
        shots[f"{megapixels:g} MP"] = Shot(path, threshold)
    return shots


def _clearness(scores: npt.NDArray[np.float32]) -> float:
    """High for few people, all of them sure; nobody is least clear."""
    return float(scores.min()) if 0 < len(scores) <= 3 else 0.0


def _write_resized(image: npt.NDArray[np.uint8], megapixels: float, path: Path) -> None:
    factor = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation)
    cv2.imwrite(str(path), resized, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
