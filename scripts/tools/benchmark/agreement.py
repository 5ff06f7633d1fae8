"""Check that all contestants give the same answers, so that no speed comes from wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.benchmark.contestants import Contestant
from tools.benchmark.workload import Sample, Workload
from tools.evaluation.agreement import Agreement, compare

_BOX_TOLERANCE_PX = 0.05
_SCORE_TOLERANCE = 0.001
_CLOSE_KEYPOINTS = 0.985


@dataclass(frozen=True)
class Verdict:
    """How one contestant's answers agree with the reference's.

    Attributes:
        key: The contestant.
        photos: Boxes and keypoints in the photos.
        other_counts: Made images in which the numbers of people differ.
    """

    key: str
    photos: Agreement
    other_counts: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the answers are the same but for rounding."""
        photos = self.photos
        return (
            not photos.other_persons
            and not self.other_counts
            and (photos.box_px or 0) <= _BOX_TOLERANCE_PX
            and (photos.det_score or 0) <= _SCORE_TOLERANCE
            and (photos.close_share is None or photos.close_share >= _CLOSE_KEYPOINTS)
        )


def compare_answers(
    reference: Contestant, others: Sequence[Contestant], workload: Workload
) -> list[Verdict]:
    """Ask every contestant for every image once, and compare. This warms them up, too.

    Args:
        reference: Its answers count as right.
        others: Their answers are compared with the reference's.
        workload: The images.
    """
    made = {**workload.persons, **workload.sizes}
    expected = [reference.answer(sample) for sample in workload.photos]
    counts = {label: _count(reference, sample) for label, sample in made.items()}
    verdicts = []
    for contestant in others:
        photos = Agreement.of(
            [
                (sample.path.name, compare(right, contestant.answer(sample)))
                for sample, right in zip(workload.photos, expected, strict=True)
            ]
        )
        different = tuple(
            label for label, sample in made.items() if _count(contestant, sample) != counts[label]
        )
        verdicts.append(Verdict(contestant.key, photos, different))
    return verdicts


def _count(contestant: Contestant, sample: Sample) -> int:
    return len(contestant.answer(sample).boxes)
