"""How far an engine's results are from those of the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritonpose_server.models.graph.engine_graph import EnginePrecision

Array = npt.NDArray[np.float32]

# Candidates below are no one's detection; where all are, those with half of the best score count.
_LEAST_SCORE = 0.3


@dataclass(frozen=True)
class Tolerance:
    """What may differ.

    Attributes:
        heatmap: Cells of heatmaps, whose peaks are near 1 for clear joints.
        score: Scores of detection candidates.
        box_px: Edges of candidates' boxes, in network pixels.
    """

    heatmap: float
    score: float
    box_px: float


# FP32 differs by the order of sums. FP16 has eleven bits of mantissa: measured with real models on
# a CPU, heatmaps differ by up to 0.005, scores by 0.01 and box edges by 1.1 px of 320.
_TOLERANCES: Mapping[EnginePrecision, Tolerance] = {
    "fp32": Tolerance(heatmap=1e-3, score=1e-3, box_px=0.1),
    "fp16": Tolerance(heatmap=0.02, score=0.02, box_px=2.0),
}


@dataclass(frozen=True)
class Difference:
    """Largest differences from the reference; None for what the model does not have.

    Attributes:
        heatmap: Of a heatmap's cell.
        score: Of a likely candidate's score.
        box_px: Of such a candidate's box edges, in network pixels.
        within: Whether all are within the tolerance of the precision.
    """

    heatmap: float | None
    score: float | None
    box_px: float | None
    within: bool


def compare(
    outputs: Sequence[str],
    expected: Sequence[Array],
    found: Sequence[Array],
    precision: EnginePrecision,
) -> Difference:
    """Compare an engine's results with the reference.

    Args:
        outputs: Names of the model's outputs: ``heatmap``, or ``boxes`` and ``scores``.
        expected: The reference's.
        found: The engine's.
        precision: What it computed in.

    Returns:
        The differences. Results with NaN or of another shape are not within any tolerance.
    """
    shapes = [array.shape for array in expected]
    if [array.shape for array in found] != shapes:
        return Difference(None, None, None, within=False)
    pairs = dict(zip(outputs, zip(expected, found, strict=True), strict=True))
    tolerance = _TOLERANCES[precision]
    if "heatmap" in pairs:
        heatmap = _largest(*pairs["heatmap"])
        return Difference(heatmap, None, None, within=heatmap <= tolerance.heatmap)
    scores, found_scores = pairs["scores"]
    least = min(_LEAST_SCORE, float(scores.max()) / 2)
    # Written so that a candidate whose score is NaN counts, and fails.
    likely = (scores >= least) | ~(found_scores < least)
    score = _largest(scores[likely], found_scores[likely])
    boxes, found_boxes = pairs["boxes"]
    box_px = _largest(boxes[likely], found_boxes[likely])
    within = score <= tolerance.score and box_px <= tolerance.box_px
    return Difference(None, score, box_px, within)


def _largest(expected: Array, found: Array) -> float:
    return float(np.abs(expected - found).max())
