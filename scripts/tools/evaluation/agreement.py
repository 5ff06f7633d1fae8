"""Compare the server's answers with results that PaddleX saved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.answers import SAVED_KEYS, poses_of
from tools.errors import ToolError
from tritonpose.transport.messages import PoseResponse

Floats = npt.NDArray[np.float64]

VISIBLE = 0.1
"""Keypoints with a lower score are noise: their positions mean nothing."""
CLEAR = 0.3
"""Keypoints with at least this score are certainly on the person."""
CLOSE_PX = 0.1
"""Keypoints that differ by no more are the same."""


def load_saved_results(directory: Path) -> dict[str, PoseResponse]:
    """Read a directory of files that PaddleX's ``save_to_json`` wrote.

    Returns:
        By the images' file names, the people that PaddleX found, in its order.

    Raises:
        ToolError: There are none, or a file isn't one of these.
    """
    results = dict(map(_load, sorted(directory.glob("*.json"))))
    if not results:
        raise ToolError(f"there are no saved results (*.json) in {directory}")
    return results


def _load(path: Path) -> tuple[str, PoseResponse]:
    try:
        content = json.loads(path.read_bytes())
        return Path(content["input_path"]).name, parse_saved_result(content)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ToolError(
            f"{path} is not a result saved by PaddleX: {type(error).__name__}: {error}"
        ) from error


def parse_saved_result(content: Mapping[str, Any]) -> PoseResponse:
    """Parse what PaddleX's ``save_to_json`` writes.

    Raises:
        KeyError, TypeError, ValueError: It has another format.
    """
    return poses_of(content["boxes"], SAVED_KEYS)


@dataclass(frozen=True, eq=False)
class Differences:
    """Absolute differences of N people.

    Attributes:
        box_px: ``[N]``, largest of the box coordinates, in pixels.
        det_score: ``[N]``.
        kpt_score: ``[N]``, mean keypoint scores.
        expected_score: ``[N, 17]``, PaddleX's score of each keypoint, not a difference.
        keypoint_px: ``[N, 17]``, larger of a keypoint's coordinates, in pixels.
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
        """Join the differences of several images, at least one."""
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            )
        )


def compare(expected: PoseResponse, actual: PoseResponse) -> Differences | None:
    """Compare the people of an image in their order.

    Returns:
        The differences, or None if the numbers of people differ.
    """
    if len(expected.boxes) != len(actual.boxes):
        return None
    points = _difference(actual.keypoints, expected.keypoints)
    return Differences(
        box_px=_difference(actual.boxes, expected.boxes).max(axis=1),
        det_score=_difference(actual.det_scores, expected.det_scores),
        kpt_score=_difference(actual.kpt_scores, expected.kpt_scores),
        expected_score=expected.keypoints[..., 2].astype(np.float64),
        keypoint_px=points[..., :2].max(axis=2),
        keypoint_score=points[..., 2],
    )


@dataclass(frozen=True)
class Agreement:
    """How well two series of results agree; None where there is nothing to compare.

    Attributes:
        images: Number of images.
        persons: Number of people compared.
        other_persons: Images with another number of people, which the figures leave out.
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
        """Sum up several images.

        Args:
            compared: Name and differences of each image; None where numbers of people differ.
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


def _difference(actual: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> Floats:
    difference: Floats = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    return difference


def _worst(differences: Floats) -> float | None:
    return float(differences.max()) if differences.size else None
