"""Whether all contestants give the same answers, so that no speed comes from wrong ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tools.benchmark.contestants.base import Contestant
from tools.benchmark.shots import Shot
from tools.benchmark.workload import Workload
from tools.evaluation.agreement import Agreement, SavedResult, compare
from tritonpose.transport.messages import PoseResponse

_BOX_TOLERANCE_PX = 0.05
_SCORE_TOLERANCE = 0.001
_CLOSE_KEYPOINTS = 0.985


@dataclass(frozen=True)
class Verdict:
    """How one contestant's answers agree with the reference's.

    Attributes:
        key: The contestant.
        photos: Persons and keypoints in the photos.
        other_counts: Made images in which the numbers of people differ.
    """

    key: str
    photos: Agreement
    other_counts: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the answers are the same but for rounding."""
        return (
            not self.photos.other_persons
            and not self.other_counts
            and _within(self.photos.box_px, _BOX_TOLERANCE_PX)
            and _within(self.photos.det_score, _SCORE_TOLERANCE)
            and (self.photos.close_share is None or self.photos.close_share >= _CLOSE_KEYPOINTS)
        )


def compare_answers(
    reference: Contestant, others: Sequence[Contestant], workload: Workload
) -> list[Verdict]:
    """Ask every contestant for every image once, and compare. It warms them up, too.

    Args:
        reference: Whose answers count as right.
        others: Whose answers are compared with them.
        workload: The images.
    """
    made = {**workload.persons, **workload.sizes}
    expected = [reference.answer(shot) for shot in workload.photos]
    counts = {label: _count(reference, shot) for label, shot in made.items()}
    return [_judge(each, workload.photos, expected, made, counts) for each in others]


def _judge(
    contestant: Contestant,
    photos: Sequence[Shot],
    expected: Sequence[PoseResponse],
    made: Mapping[str, Shot],
    counts: Mapping[str, int],
) -> Verdict:
    compared = [
        (shot.path.name, compare(_saved(shot, right), contestant.answer(shot)))
        for shot, right in zip(photos, expected, strict=True)
    ]
    different = [label for label, shot in made.items() if _count(contestant, shot) != counts[label]]
    return Verdict(contestant.key, Agreement.of(compared), tuple(different))


def _count(contestant: Contestant, shot: Shot) -> int:
    return len(contestant.answer(shot).boxes)


def _saved(shot: Shot, people: PoseResponse) -> SavedResult:
    return SavedResult(
        shot.path.name,
        people.boxes.astype(np.float64),
        people.det_scores.astype(np.float64),
        people.keypoints.astype(np.float64),
        people.kpt_scores.astype(np.float64),
    )


def _within(difference: float | None, tolerance: float) -> bool:
    return difference is None or difference <= tolerance
