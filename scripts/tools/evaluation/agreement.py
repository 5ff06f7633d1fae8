"""How far the server's answers are from results that PaddleX saved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.errors import EvaluationError
from tritonpose.transport.messages import PoseResponse

Floats = npt.NDArray[np.float64]

VISIBLE = 0.1
"""Keypoints with a lower score are noise, whose place says nothing."""
CLEAR = 0.3
"""Keypoints from this score are on the person without doubt."""
CLOSE_PX = 0.1


@dataclass(frozen=True, eq=False)
class SavedResult:
    """What PaddleX found in an image, N persons in its order.

    Attributes:
        image: The image's file name.
        boxes: ``[N, 4]``, x1, y1, x2, y2 in pixels.
        det_scores: ``[N]``.
        keypoints: ``[N, 17, 3]``, x, y in pixels, score.
        kpt_scores: ``[N]``, the mean keypoint scores.
    """

    image: str
    boxes: Floats
    det_scores: Floats
    keypoints: Floats
    kpt_scores: Floats

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SavedResult:
        """Parse what PaddleX's ``save_to_json`` writes.

        Raises:
            KeyError, TypeError, ValueError: It isn't that.
        """
        people = content["boxes"]

        def collect(key: str, *shape: int) -> Floats:
            return np.array([person[key] for person in people], np.float64).reshape(-1, *shape)

        return cls(
            image=Path(content["input_path"]).name,
            boxes=collect("coordinate", 4),
            det_scores=collect("det_score"),
            keypoints=collect("keypoints", 17, 3),
            kpt_scores=collect("kpt_score"),
        )


def load_saved_results(directory: Path) -> list[SavedResult]:
    """Read a directory of files that PaddleX's ``save_to_json`` wrote.

    Raises:
        EvaluationError: There are none, or a file isn't one of these.
    """
    results = [_load(path) for path in sorted(directory.glob("*.json"))]
    if not results:
        raise EvaluationError(f"there are no saved results (*.json) in {directory}")
    return results


def _load(path: Path) -> SavedResult:
    try:
        return SavedResult.from_json(json.loads(path.read_bytes()))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"{path} is not a result saved by PaddleX: {type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True, eq=False)
class Differences:
    """Absolute differences of N persons.

    Attributes:
        box_px: ``[N]``, of the worst box coordinate, in pixels.
        det_score: ``[N]``.
        kpt_score: ``[N]``, of the mean keypoint scores.
        expected_score: ``[N, 17]``, PaddleX's score of each keypoint, not a difference.
        keypoint_px: ``[N, 17]``, of the worse of a keypoint's coordinates, in pixels.
        keypoint_score: ``[N, 17]``.
    """

    box_px: Floats
    det_score: Floats
    kpt_score: Floats
    expected_score: Floats
    keypoint_px: Floats
    keypoint_score: Floats

    @classmethod
    def join(cls, parts: Sequence[Differences]) -> Differences:
        """Those of several images, at least one."""
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            )
        )


def compare(expected: SavedResult, actual: PoseResponse) -> Differences | None:
    """Compare the persons of an image, the first with the first and so on.

    Returns:
        The differences, or None if their numbers differ, for then they aren't the same persons.
    """
    if len(expected.boxes) != len(actual.boxes):
        return None
    points = np.abs(actual.keypoints - expected.keypoints)
    return Differences(
        box_px=np.abs(actual.boxes - expected.boxes).max(axis=1),
        det_score=np.abs(actual.det_scores - expected.det_scores),
        kpt_score=np.abs(actual.kpt_scores - expected.kpt_scores),
        expected_score=expected.keypoints[..., 2],
        keypoint_px=points[..., :2].max(axis=2),
        keypoint_score=points[..., 2],
    )


@dataclass(frozen=True)
class Agreement:
    """How well two series of results agree; None where there is nothing to compare.

    Attributes:
        images: How many there are.
        persons: How many were compared.
        other_persons: Images with another number of persons, which the figures leave out.
        box_px: Largest difference of a box coordinate, in pixels.
        det_score: Largest difference of a detector score.
        close_share: Share of the visible keypoints within `CLOSE_PX`.
        visible_px: Largest distance of a keypoint of score `VISIBLE` or more, in pixels.
        clear_px: Largest distance of a keypoint of score `CLEAR` or more, in pixels.
        keypoint_score: Largest difference of a keypoint's score.
    """

    images: int
    persons: int
    other_persons: tuple[str, ...]
    box_px: float | None
    det_score: float | None
    close_share: float | None
    visible_px: float | None
    clear_px: float | None
    keypoint_score: float | None

    @classmethod
    def of(cls, compared: Sequence[tuple[str, Differences | None]]) -> Agreement:
        """Sum a series up.

        Args:
            compared: Name and differences of each image; None for other persons.
        """
        parts = [differences for _, differences in compared if differences is not None]
        if parts:
            joined = Differences.join(parts)
        else:
            joined = Differences(*[np.empty(0)] * 3, *[np.empty((0, 17))] * 3)
        visible = joined.keypoint_px[joined.expected_score >= VISIBLE]
        return cls(
            images=len(compared),
            persons=len(joined.box_px),
            other_persons=tuple(name for name, differences in compared if differences is None),
            box_px=_worst(joined.box_px),
            det_score=_worst(joined.det_score),
            close_share=float((visible <= CLOSE_PX).mean()) if visible.size else None,
            visible_px=_worst(visible),
            clear_px=_worst(joined.keypoint_px[joined.expected_score >= CLEAR]),
            keypoint_score=_worst(joined.keypoint_score),
        )


def _worst(differences: Floats) -> float | None:
    return float(differences.max()) if differences.size else None
