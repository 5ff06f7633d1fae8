"""Answers of PaddleX's service contract, as the client's own responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritonpose.transport.messages import PoseResponse

SAVED_KEYS = ("coordinate", "det_score", "keypoints", "kpt_score")
"""Keys of a person in what PaddleX's ``save_to_json`` writes."""

_SERVICE_KEYS = ("bbox", "detScore", "kpts", "kptScore")


def poses_of(persons: Sequence[Mapping[str, Any]]) -> PoseResponse:
    """Collect the people of ``result.persons`` of PaddleX's service contract."""
    keys = list(zip(SAVED_KEYS, _SERVICE_KEYS, strict=True))
    return PoseResponse.from_paddlex(
        [{saved: person[served] for saved, served in keys} for person in persons]
    )
