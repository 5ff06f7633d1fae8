"""Answers in PaddleX's formats, as the client's own responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose.transport.messages import PoseResponse

SERVICE_KEYS = ("bbox", "detScore", "kpts", "kptScore")
"""Keys of a person in ``result.persons`` of PaddleX's service contract."""

SAVED_KEYS = ("coordinate", "det_score", "keypoints", "kpt_score")
"""Keys of a person in what PaddleX's ``save_to_json`` writes."""


def poses_of(
    people: Sequence[Mapping[str, Any]],
    keys: tuple[str, str, str, str] = SERVICE_KEYS,
    *,
    truncated: bool = False,
) -> PoseResponse:
    """Collect people; the keys are of the box, its score, the keypoints and their mean score."""

    def collect(key: str, *shape: int) -> npt.NDArray[np.float32]:
        return np.array([person[key] for person in people], np.float32).reshape(len(people), *shape)

    box, det_score, keypoints, kpt_score = keys
    return PoseResponse(
        collect(box, 4),
        collect(det_score),
        collect(keypoints, *((-1, 3) if people else (17, 3))),
        collect(kpt_score),
        truncated,
    )
