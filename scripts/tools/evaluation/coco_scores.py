"""Average precision and recall, computed by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from typing import Any, Literal

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tools.evaluation.coco_ground_truth import GroundTruth

Kind = Literal["keypoints", "bbox"]

Scores = dict[str, float | None]
"""Figures from 0 to 1 by name, None where no annotated person is of that size."""

FIGURES: dict[Kind, tuple[str, ...]] = {
    "keypoints": ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL"),
    "bbox": (
        *("AP", "AP50", "AP75", "APS", "APM", "APL"),
        *("AR1", "AR10", "AR100", "ARS", "ARM", "ARL"),
    ),
}
"""Names of the figures, in pycocotools' order. S, M, L: small, medium and large persons."""


def coco_scores(truth: GroundTruth, results: Sequence[dict[str, Any]], kind: Kind) -> Scores:
    """Compare results with annotations; similarity of keypoints is COCO's OKS, of boxes IoU.

    Args:
        truth: The annotations.
        results: COCO results of all images.
        kind: What is compared.
    """
    # pycocotools writes into what it is given, and tells its progress on stdout.
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = _indexed(truth.dataset)
        evaluation = COCOeval(annotated, _as_results(annotated, results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = zip(FIGURES[kind], evaluation.stats, strict=True)
    return {name: None if value < 0 else float(value) for name, value in figures}


def _indexed(dataset: dict[str, Any]) -> Any:
    coco = COCO()
    coco.dataset = copy.deepcopy(dataset)
    coco.createIndex()
    return coco


def _as_results(annotated: Any, results: Sequence[dict[str, Any]]) -> Any:
    if results:
        return annotated.loadRes(copy.deepcopy(list(results)))
    # loadRes fails where nobody was found.
    return _indexed({**annotated.dataset, "annotations": []})
