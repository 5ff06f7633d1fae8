"""Compare the server's answers with results that PaddleX saved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.errors import ToolError
from tritonpose.transport.messages import PoseResponse

Floats = npt.NDArray[np.float64]

VISIBLE = 0.1
"""Keypoints with a lower score are noise: their positions mean nothing."""
CLEAR = 0.3
"""Keypoints with at least this score are certainly on the person."""
CLOSE_PX = 0.1
"""Keypoints that differ by no more are the same."""

_NOBODY = PoseResponse.from_paddlex([])


def load_saved_results(directory: Path) -> dict[str, PoseResponse]:
    """Read a directory of files by PaddleX's ``save_to_json``; keys are the images' file names."""
    results = dict(map(_load, sorted(directory.glob("*.json"))))
    if not results:
        raise ToolError(f"there are no saved results (*.json) in {directory}")
    return results


def _load(path: Path) -> tuple[str, PoseResponse]:
    try:
        content = json.loads(path.read_bytes())
        return Path(content["input_path"]).name, PoseResponse.from_paddlex(content["boxes"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ToolError(
            f"{path} is not a result saved by PaddleX: {type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True, eq=False)
class Differences:
    """Absolute differences of N people.

    `box_px` ``[N]`` and `keypoint_px` ``[N, 17]`` are the largest of the coordinates, in pixels;
    `expected_score` ``[N, 17]`` is PaddleX's score of each keypoint, not a difference.
    """

    box_px: Floats
    det_score: Floats
    kpt_score: Floats
    expected_score: Floats
    keypoint_px: Floats
    keypoint_score: Floats

    @classmethod
    def between(cls, pairs: Sequence[tuple[PoseResponse, PoseResponse]]) -> Differences:
        """Compare the people of images, as many expected as found, in their order."""

        def joined(name: str) -> tuple[Floats, Floats]:
            both = zip(*[(_NOBODY, _NOBODY), *pairs], strict=True)
            expected, actual = (
                np.concatenate([getattr(each, name) for each in answers]).astype(np.float64)
                for answers in both
            )
            return expected, np.abs(actual - expected)

        expected_points, points = joined("keypoints")
        return cls(
            box_px=joined("boxes")[1].max(axis=1),
            det_score=joined("det_scores")[1],
            kpt_score=joined("kpt_scores")[1],
            expected_score=expected_points[..., 2],
            keypoint_px=points[..., :2].max(axis=2),
            keypoint_score=points[..., 2],
        )


@dataclass(frozen=True)
class Agreement:
    """How well two series of results agree; None where there is nothing to compare.

    Figures are the largest differences, in pixels where so named. `close_share` is of visible
    keypoints within `CLOSE_PX`; images of `other_persons`, which have another number of people, are
    left out.
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
    def of(cls, answers: Sequence[tuple[str, PoseResponse, PoseResponse]]) -> Agreement:
        """Sum up several images: the name of each, what is expected, and what was found."""
        pairs = [pair for _, *pair in answers if len(pair[0].boxes) == len(pair[1].boxes)]
        found = Differences.between([(expected, actual) for expected, actual in pairs])
        visible = found.keypoint_px[found.expected_score >= VISIBLE]
        return cls(
            images=len(answers),
            persons=len(found.box_px),
            other_persons=tuple(name for name, a, b in answers if len(a.boxes) != len(b.boxes)),
            box_px=_worst(found.box_px),
            det_score=_worst(found.det_score),
            close_share=float((visible <= CLOSE_PX).mean()) if visible.size else None,
            visible_px=_worst(visible),
            clear_px=_worst(found.keypoint_px[found.expected_score >= CLEAR]),
            keypoint_score=_worst(found.keypoint_score),
        )


def _worst(differences: Floats) -> float | None:
    return float(differences.max()) if differences.size else None
