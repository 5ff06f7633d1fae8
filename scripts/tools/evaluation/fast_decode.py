"""What ``fast_decode`` changes: people of large JPEGs, compared with those of full decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.errors import ToolError
from tools.evaluation.agreement import VISIBLE
from tools.evaluation.tracking.metrics import joint_similarity
from tritonpose.tracking.association import sigmas_of
from tritonpose.transport.messages import PoseResponse

CLOSE = 0.9
"""People within this OKS are the same for most purposes."""

# Below it, two people are not the same one.
_SAME = 0.5

_SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True)
class DecodeEffect:
    """How the people of fast decoding differ; figures of OKS are None where nobody is found twice.

    `persons` are those of full decoding, of which `lost` are not found, and `added` others are.
    `oks` is the mean over the people found twice, `oks_low` the 5th percentile, `close_share` the
    share within `CLOSE`. `unchanged` images have the same people to the last bit, as small ones do.
    """

    images: int
    unchanged: int
    persons: int
    lost: int
    added: int
    oks: float | None
    oks_low: float | None
    close_share: float | None

    @classmethod
    def of(cls, answers: Sequence[tuple[PoseResponse, PoseResponse]]) -> DecodeEffect:
        """Compare the answers to images: with full decoding, and with fast decoding."""
        found = [_matched(full, fast) for full, fast in answers]
        oks = np.concatenate([np.zeros(0), *found])
        persons = sum(len(full.boxes) for full, _ in answers)
        return cls(
            images=len(answers),
            unchanged=sum(np.array_equal(full.keypoints, fast.keypoints) for full, fast in answers),
            persons=persons,
            lost=persons - len(oks),
            added=sum(len(fast.boxes) for _, fast in answers) - len(oks),
            oks=float(oks.mean()) if oks.size else None,
            oks_low=float(np.percentile(oks, 5)) if oks.size else None,
            close_share=float((oks >= CLOSE).mean()) if oks.size else None,
        )


def find_jpegs(directory: Path) -> list[Path]:
    """List the JPEGs in a directory and below; or ToolError."""
    found = [path for path in sorted(directory.rglob("*")) if path.suffix.lower() in _SUFFIXES]
    if not found:
        raise ToolError(f"there are no JPEGs ({', '.join(_SUFFIXES)}) in {directory}")
    return found


def _matched(full: PoseResponse, fast: PoseResponse) -> npt.NDArray[np.float64]:
    """Give each person the most similar one of those left; return the OKS of those found."""
    left = fast.keypoints.astype(np.float64)
    sigmas = sigmas_of(full.schema)
    matched = []
    for box, keypoints in zip(full.boxes, full.keypoints, strict=True):
        area = float((box[2] - box[0]) * (box[3] - box[1]))
        joints = joint_similarity(keypoints[:, :2], left[..., :2], area, sigmas)
        shown = keypoints[:, 2] >= VISIBLE
        similar = joints[:, shown].mean(axis=1) if shown.any() else np.ones(len(left))
        if similar.max(initial=0) > _SAME:
            matched.append(similar.max())
            left = np.delete(left, similar.argmax(), axis=0)
    return np.array(matched, np.float64)
