"""The workload: how much is measured, and images with given numbers of people and pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tools.errors import ToolError
from tritonpose.transport.messages import PoseResponse

# Detector scores of contestants agree within 0.00001: a threshold in the middle of such a gap
# selects the same people for all of them.
_LEAST_GAP = 0.0002

# Formats that every contestant reads.
_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

_DRAWN_PEOPLE = 9
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    `latency_samples`, per round, and `rate_seconds` are the least; `repeats` is how often per round
    an image of the cases of people and sizes is timed, or a picture drawn.
    """

    rounds: int
    latency_samples: int
    rate_seconds: float
    concurrencies: tuple[int, ...]
    persons: tuple[int, ...]
    megapixels: tuple[float, ...]
    repeats: int
    images: int


FULL = Plan(
    rounds=5,
    latency_samples=20,
    rate_seconds=3.0,
    concurrencies=(1, 4, 16, 64),
    persons=(0, 1, 3, 9, 30),
    megapixels=(0.3, 1, 2, 4, 8, 12),
    repeats=4,
    images=50,
)
"""Enough for figures to publish."""

QUICK = Plan(
    rounds=2,
    latency_samples=3,
    rate_seconds=0.2,
    concurrencies=(1, 16),
    persons=(0, 9),
    megapixels=(0.3, 12),
    repeats=2,
    images=4,
)
"""Just enough to see that everything works."""


@dataclass(frozen=True)
class Sample:
    """One image to find people in; a threshold of None is the pipeline's own."""

    path: Path
    det_threshold: float | None = None

    def as_json(self) -> dict[str, object]:
        """Describe the sample to a worker process."""
        return {"path": str(self.path), "det_threshold": self.det_threshold}


@dataclass(frozen=True, eq=False)
class Scene:
    """People to draw: float32 ``[N, K, 3]``, x, y in pixels, score."""

    path: Path
    keypoints: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Workload:
    """All images that are measured.

    `persons` has one photo with thresholds that select a number of people, `sizes` the same photo
    resized, by megapixels.
    """

    photos: tuple[Sample, ...]
    persons: Mapping[str, Sample]
    sizes: Mapping[str, Sample]
    scene: Scene


Answer = Callable[[Sample], PoseResponse]


def find_images(places: Sequence[Path], most: int) -> list[Path]:
    """Find images among files and in directories with all below them: `most` of them, evenly."""
    found = [
        path
        for place in places
        for path in ([place] if place.is_file() else sorted(place.rglob("*")))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not found:
        names = ", ".join(map(str, places))
        raise ToolError(f"there are no images ({', '.join(_SUFFIXES)}) in {names}")
    return found[:: -(-len(found) // most)]


def make_workload(images: Sequence[Path], plan: Plan, answer: Answer, directory: Path) -> Workload:
    """Make the workload from photos; resized ones are written to the directory."""
    everyone = {path: answer(Sample(path, det_threshold=0.0)) for path in images}
    scores = {path: people.det_scores for path, people in everyone.items()}
    crowd = max(images, key=lambda path: countable(scores[path], plan.persons))
    persons = {
        str(count): Sample(crowd, threshold)
        for count in plan.persons
        if (threshold := threshold_for(scores[crowd], count)) is not None
    }
    drawn = max(images, key=lambda path: nth_score(scores[path], _DRAWN_PEOPLE))
    return Workload(
        photos=tuple(Sample(path) for path in images),
        persons=persons,
        sizes=_resized(images, plan, answer, directory),
        scene=Scene(drawn, everyone[drawn].keypoints[:_DRAWN_PEOPLE]),
    )


def threshold_for(scores: npt.NDArray[np.float32], count: int) -> float | None:
    """Compute a detector threshold that selects exactly the first ``count`` people.

    The scores are descending. None where there are fewer people, or where the next score is too
    near for all contestants to agree.
    """
    if count > len(scores):
        return None
    above = 1.0 if count == 0 else float(scores[count - 1])
    below = float(scores[count]) if count < len(scores) else 0.0
    return (above + below) / 2 if above - below >= _LEAST_GAP else None


def countable(scores: npt.NDArray[np.float32], counts: Sequence[int]) -> tuple[int, float]:
    """Count the numbers of people that a photo can show; the surest people break ties."""
    possible = [count for count in counts if threshold_for(scores, count) is not None]
    return len(possible), nth_score(scores, max(possible, default=0))


def nth_score(scores: npt.NDArray[np.float32], count: int) -> float:
    """Return the score of the ``count``-th person, 0 where there are fewer."""
    return float(scores[count - 1]) if 0 < count <= len(scores) else 0.0


def _resized(
    images: Sequence[Path], plan: Plan, answer: Answer, directory: Path
) -> dict[str, Sample]:
    """Resize a photo to several sizes, with the same number of people in each."""
    # People with high scores are found in every size.
    photo = max(images, key=lambda path: _clearness(answer(Sample(path)).det_scores))
    people = len(answer(Sample(photo)).det_scores)
    pixels = np.asarray(cv2.imread(str(photo)), np.uint8)
    samples = {}
    for megapixels in plan.megapixels:
        path = directory / f"{photo.stem}_{megapixels:g}MP.jpg"
        factor = (megapixels * 1e6 / (pixels.shape[0] * pixels.shape[1])) ** 0.5
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=interpolation)
        cv2.imwrite(str(path), resized, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        threshold = threshold_for(answer(Sample(path, det_threshold=0.0)).det_scores, people)
        samples[f"{megapixels:g} MP"] = Sample(path, threshold)
    return samples


def _clearness(scores: npt.NDArray[np.float32]) -> float:
    """Rate a photo: high for few people with high scores, lowest without people."""
    return float(scores.min()) if 0 < len(scores) <= 3 else 0.0
